"""Regular expressions of the API's texts, each with its meaning in words.

An API server can only say that a value "should match" an expression; the command line says the
meaning.
"""

from typing import Final

NAME: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
CARD_NAME: Final = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
CLAIM_NAME: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
BUCKET_URL: Final = r"^s3://[a-z0-9](-*(\.-+)*\.?[a-z0-9])*$"
VARIANT_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
PLACE_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
SHA256: Final = r"^[0-9a-f]{64}$"
URI: Final = r"^[a-z0-9]+://\S+$"
HTTPS_URL: Final = r"^https://\S+$"
_PORT: Final = (
    r"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
)
GATEWAY_ADDRESS: Final = (
    r"^https://(\[[0-9a-fA-F:]+\]|[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?):" + _PORT + r"$"
)
DATA_KEY: Final = r"^[-._a-zA-Z0-9]+$"
TAINT_KEY: Final = r"^[A-Za-z0-9][A-Za-z0-9._/-]*$"
REASON: Final = r"^[A-Z][A-Za-z0-9]*$"
DURATION: Final = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"
MONEY: Final = r"^[0-9]{1,6}(\.[0-9]{1,8})?$"
PUE: Final = r"^[1-9](\.[0-9]{1,3})?$"
QUANTITY: Final = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"

MEANINGS: Final[dict[str, str]] = {
    NAME: "a name of lower-case letters, digits and inner hyphens, for example chat-small",
    CARD_NAME: "a ModelCard's name of lower-case letters, digits, inner hyphens and dots, for "
    "example qwen2.5-0.5b-instruct",
    CLAIM_NAME: "a PersistentVolumeClaim's name of lower-case letters, digits, inner hyphens and "
    "dots, for example records",
    BUCKET_URL: "s3:// and an S3 bucket's name alone, of lower-case letters, digits, inner hyphens "
    "and single inner dots, for example s3://records",
    VARIANT_NAME: "a variant's name of letters, digits, `_`, `.` and `-`, for example q4_1",
    PLACE_NAME: "a name of letters, digits, `.`, `_` and `-`, for example eu-central-1",
    SHA256: "a SHA-256 of 64 lower-case hexadecimal digits, as sha256sum prints it",
    URI: "a URI with its scheme, for example hf://owner/repository/file.gguf",
    HTTPS_URL: "an address that starts with https://",
    GATEWAY_ADDRESS: "https://, a host and a port, without a path, for example "
    "https://edge.example.com:8443",
    DATA_KEY: "a key of letters, digits, `-`, `_` and `.`, for example kubeconfig",
    TAINT_KEY: "a key of letters, digits, `.`, `_`, `/` and `-`, for example smallmodel.dev/drain",
    REASON: "one CamelCase word",
    DURATION: "a duration, for example 30s, 5m or 1h30m",
    MONEY: 'an amount of the installation\'s one currency as a text, for example "0.031"',
    PUE: 'a number of at least 1 as a text, for example "1.2"',
    QUANTITY: "a quantity, for example 500m, 2 or 4Gi",
}
