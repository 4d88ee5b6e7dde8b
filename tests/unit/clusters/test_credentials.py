"""A kubeconfig out of a Secret says where and who, and can do nothing else."""

import asyncio

import pytest
from aiohttp import web

from builders.fake_kube_api import FakeKubeApi, serving
from builders.kube_objects import CONFIG_MAP_PATH, config_map
from builders.kubeconfigs import (
    SERVER,
    TOKEN,
    Config,
    encoded,
    kubeconfig,
    pair,
    server_tls,
    written,
)
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.credentials import (
    Credentials,
    KubeconfigReader,
    KubeconfigRefused,
    read_kubeconfig,
)
from smallmodel_operator.clusters.ref import CONFIGMAPS, PODS

SOURCE = "The kubeconfig in Secret a/b (kubeconfig)"
SETTINGS = CONFIGMAPS.ref("settings", "team")


def read(config: Config) -> Credentials:
    return read_kubeconfig(written(config), SOURCE)


def test_a_token_and_an_address_are_enough() -> None:
    assert read(kubeconfig()) == Credentials(server=SERVER, token=TOKEN)


def test_what_the_current_context_says_is_read_whole() -> None:
    authority, client = pair(), pair("10.0.0.1")
    found = read(
        kubeconfig(
            cluster={
                "server": f"{SERVER}/k8s/",
                "certificate-authority-data": encoded(authority.certificate),
                "tls-server-name": "kubernetes",
            },
            user={
                "client-certificate-data": encoded(client.certificate),
                "client-key-data": encoded(client.key),
            },
        )
    )
    assert found == Credentials(
        server=f"{SERVER}/k8s",
        authority=authority.certificate.decode(),
        server_name="kubernetes",
        certificate=client.certificate,
        key=client.key,
    )


def test_nothing_secret_is_shown_when_credentials_are_printed() -> None:
    client = pair()
    shown = repr(Credentials(server=SERVER, token=TOKEN, certificate=b"cert", key=client.key))
    assert TOKEN not in shown
    assert "PRIVATE" not in shown


def contexts(*names: str) -> list[Config]:
    return [{"name": name, "context": {"cluster": "edge", "user": "hub"}} for name in names]


def currently(name: str) -> Config:
    return kubeconfig() | {"current-context": name}


OTHER = {"name": "other", "user": {"token": "another-one"}}
REFUSED: dict[str, tuple[Config, str, str]] = {
    "a program": (
        kubeconfig(user={"token": TOKEN, "exec": {"command": "sh"}}),
        "users[0].user.exec",
        "a program would run",
    ),
    "a provider": (
        kubeconfig(user={"auth-provider": {"name": "gcp"}}),
        "users[0].user.auth-provider",
        "a program would run",
    ),
    "a path of an authority": (
        kubeconfig(cluster={"certificate-authority": "/etc/ca.crt"}),
        "clusters[0].cluster.certificate-authority",
        "kubectl config view --minify --flatten",
    ),
    "a path of a certificate": (
        kubeconfig(user={"client-certificate": "/etc/tls.crt"}),
        "users[0].user.client-certificate",
        "the operator's own files",
    ),
    "a path of a key": (
        kubeconfig(user={"client-key": "/etc/tls.key"}),
        "users[0].user.client-key",
        "the operator's own files",
    ),
    "a path of a token": (
        kubeconfig(user={"tokenFile": "/var/run/secrets/kubernetes.io/serviceaccount/token"}),
        "users[0].user.tokenFile",
        "the operator's own files",
    ),
    "any server": (
        kubeconfig(cluster={"insecure-skip-tls-verify": True}),
        "insecure-skip-tls-verify",
        "give certificate-authority-data",
    ),
    "a verified server, said twice": (
        kubeconfig(cluster={"insecure-skip-tls-verify": False}),
        "insecure-skip-tls-verify",
        "give certificate-authority-data",
    ),
    "a proxy": (
        kubeconfig(cluster={"proxy-url": "http://proxy.example.com"}),
        "clusters[0].cluster.proxy-url",
        "reached directly",
    ),
    "a password": (
        kubeconfig(user={"username": "admin", "password": TOKEN}),
        "users[0].user.password",
        "give a token",
    ),
    "somebody else's name": (
        kubeconfig(user={"token": TOKEN, "as": "system:admin"}),
        "users[0].user.as",
        "acts for itself",
    ),
    "an extension": (kubeconfig(extensions=[]), "has extensions", "leave them out"),
    "a field of the future": (
        kubeconfig(user={"token": TOKEN, TOKEN: 1}),
        "a field that is not needed",
        "allowed are users[0].user.client-certificate-data",
    ),
    "a field beside a user": (
        kubeconfig(users=[{"name": "hub", "user": {"token": TOKEN}, "more": {}}]),
        "users[0]",
        "--minify",
    ),
    "another user": (
        kubeconfig(users=[{"name": "hub", "user": {"token": TOKEN}}, OTHER]),
        "has 2 users",
        "only one is needed",
    ),
    "another context": (kubeconfig(contexts=contexts("edge", "b")), "has 2 contexts", "--minify"),
    "no context": (kubeconfig(contexts=None), "has no contexts", "--minify"),
    "contexts that are none": (kubeconfig(contexts=["edge"]), "contexts[0]", "--minify"),
    "no current context": (currently(""), "no current-context", "--minify"),
    "a context that is not there": (
        currently("b"),
        "contexts[0] that is not",
        "--minify",
    ),
    "another cluster than the context's": (
        kubeconfig(clusters=[{"name": "b", "cluster": {"server": SERVER}}]),
        "clusters[0] that is not",
        "--minify",
    ),
    "a server in the clear": (
        kubeconfig(cluster={"server": "http://edge.example.com"}),
        "https://HOST",
        "the API server's address",
    ),
    "no server": (kubeconfig(cluster={"server": ""}), "https://HOST", "address"),
    "a server of a number": (kubeconfig(cluster={"server": 6443}), "server", "not a text"),
    "a server without a host": (kubeconfig(cluster={"server": "https://"}), "https://HOST", ""),
    "a server with a name in it": (
        kubeconfig(cluster={"server": "https://user@edge.example.com"}),
        "https://HOST",
        "",
    ),
    "a server at no port": (
        kubeconfig(cluster={"server": "https://edge.example.com:99999"}),
        "https://HOST",
        "",
    ),
    "no token": (kubeconfig(user={}), "neither a token nor a client certificate", "give a token"),
    "a token of two lines": (kubeconfig(user={"token": f"{TOKEN}\nHost: b"}), "a token with", ""),
    "half a certificate": (
        kubeconfig(user={"client-certificate-data": encoded(b"a")}),
        "only one of client-certificate-data and client-key-data",
        "--flatten",
    ),
    "no certificate": (
        kubeconfig(
            user={"client-certificate-data": encoded(b"a"), "client-key-data": encoded(b"b")}
        ),
        "no pair",
        "",
    ),
    "an authority that is none": (
        kubeconfig(cluster={"certificate-authority-data": encoded(b"no PEM")}),
        "certificate-authority-data without a certificate",
        "",
    ),
    "an authority in no text": (
        kubeconfig(cluster={"certificate-authority-data": encoded(b"\xff")}),
        "certificate-authority-data without a certificate",
        "",
    ),
    "an authority that is no base64": (
        kubeconfig(cluster={"certificate-authority-data": "%%%"}),
        "certificate-authority-data that is not base64",
        "",
    ),
    "another kind": (kubeconfig(kind="Secret"), "not a kubeconfig", "--flatten"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_with_the_field_and_the_next_step(case: str) -> None:
    config, field, instead = REFUSED[case]
    with pytest.raises(KubeconfigRefused) as caught:
        read(config)
    said = str(caught.value)
    assert said.startswith(f"{SOURCE} has ") or "is not a kubeconfig" in said
    assert field in said
    assert instead in said
    # Neither is what went wrong beneath, which may quote it.
    assert TOKEN not in said
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "content",
    [
        b"0123456789abcdef",
        f"token: '{TOKEN}".encode(),
        b"\xff\xfe\x00",
        b"- a\n- b",
        b"",
        b"a: &a [*a]",
        ("[" * 5000).encode(),
    ],
)
def test_what_is_no_kubeconfig_is_refused_without_a_word_of_it(content: bytes) -> None:
    with pytest.raises(KubeconfigRefused) as caught:
        read_kubeconfig(content, SOURCE)
    assert "is not" in str(caught.value) or "a field that is not needed" in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_key_of_another_certificate_is_refused() -> None:
    user = {
        "client-certificate-data": encoded(pair().certificate),
        "client-key-data": encoded(pair("10.0.0.1").key),
    }
    with pytest.raises(KubeconfigRefused, match="no pair"):
        read(kubeconfig(user=user))


async def test_calls_carry_the_token(kube: FakeKubeApi) -> None:
    kube.put(CONFIG_MAP_PATH, config_map())
    async with Api.of(Credentials(server=kube.url, token=TOKEN)) as api:
        assert await api.get(SETTINGS) is not None
    assert kube.seen[0].headers["Authorization"] == f"Bearer {TOKEN}"


async def test_both_sides_show_their_certificates() -> None:
    server, client = pair(), pair("10.0.0.1")
    subjects = list[object]()

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        subjects.append(request.transport.get_extra_info("peercert")["subject"])
        return web.json_response(config_map())

    async with serving(answer, server_tls(server, client)) as url:
        credentials = read_kubeconfig(
            written(
                kubeconfig(
                    cluster={
                        "server": url,
                        "certificate-authority-data": encoded(server.certificate),
                    },
                    user={
                        "client-certificate-data": encoded(client.certificate),
                        "client-key-data": encoded(client.key),
                    },
                )
            ),
            SOURCE,
        )
        async with Api.of(credentials) as api:
            assert await api.get(SETTINGS) is not None
        # The machine's own authorities know nothing of it.
        async with Api.of(Credentials(server=url, token=TOKEN)) as api:
            with pytest.raises(errors.Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
                await api.apply(config_map())
    assert subjects == [((("commonName", "10.0.0.1"),),)]


async def test_a_server_of_another_name_is_called_and_streamed_to() -> None:
    server = pair("10.0.0.9")

    async def answer(request: web.Request) -> web.StreamResponse:
        if not request.path.endswith("/portforward"):
            return web.json_response(config_map())
        stream = web.WebSocketResponse(protocols=["v4"])
        await stream.prepare(request)
        await stream.close()
        return stream

    async with serving(answer, server_tls(server)) as url:
        credentials = Credentials(
            server=url, authority=server.certificate.decode(), server_name="10.0.0.9", token=TOKEN
        )
        async with Api.of(credentials) as api:
            assert await api.get(SETTINGS) is not None
            stream = await api.websocket(PODS.ref("head", "team"), "portforward", {}, "v4")
            assert stream.protocol == "v4"
            await stream.close()


async def test_new_credentials_are_used_from_the_next_call_on_and_none_is_cut(
    kube: FakeKubeApi,
) -> None:
    kube.put(CONFIG_MAP_PATH, config_map())
    held, let_go = asyncio.Event(), asyncio.Event()
    answer = kube.dispatch

    async def dispatch(request: web.Request) -> web.StreamResponse:
        if request.headers["Authorization"] == "Bearer before":
            held.set()
            await let_go.wait()
        return await answer(request)

    kube.dispatch = dispatch  # type: ignore[method-assign]
    async with Api.of(Credentials(server=kube.url, token="before")) as api:
        running = asyncio.create_task(api.get(SETTINGS))
        await held.wait()
        api.renew(Credentials(server=kube.url, token="after"))
        assert await api.get(SETTINGS) is not None
        let_go.set()
        assert await running is not None
    assert [one.headers["Authorization"] for one in kube.seen] == ["Bearer after", "Bearer before"]


def test_what_is_read_again_is_checked_anew_only_where_it_is_another() -> None:
    reader, good = KubeconfigReader(), written(kubeconfig())

    found = reader.read(good, SOURCE)
    assert reader.read(bytes(good), SOURCE) is found
    for _ in range(2):
        with pytest.raises(KubeconfigRefused, match=r"Secret a/b .* is not a kubeconfig"):
            reader.read(b"kind: Secret", SOURCE)
    assert reader.read(good, SOURCE) == found
