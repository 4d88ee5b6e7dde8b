"""Every reason that a condition, an event or an error can carry, each explained once.

`docs/reference/reasons.md` is generated from this file.
"""

from enum import StrEnum
from typing import Final


class Reason(StrEnum):
    """One CamelCase word that says why."""

    INVALID_MANIFEST = "InvalidManifest"
    DUPLICATE_NAME = "DuplicateName"

    RESOLVED = "Resolved"
    UNKNOWN_MODEL = "UnknownModel"
    UNKNOWN_VARIANT = "UnknownVariant"
    CLOSED_MODEL = "ClosedModel"
    LICENSE_NOT_ACCEPTED = "LicenseNotAccepted"
    SECRET_MISSING = "SecretMissing"  # noqa: S105 - a reason, not a secret
    ENGINE_CANNOT_RUN = "EngineCannotRun"
    CONTEXT_TOO_LONG = "ContextTooLong"
    ENGINE_ARG_REFUSED = "EngineArgRefused"
    SOURCE_NOT_SUPPORTED = "SourceNotSupported"
    ARCHITECTURE_UNKNOWN = "ArchitectureUnknown"

    PLACED = "Placed"
    MEMORY_FIT = "MemoryFit"
    ENGINE_NOT_INSTALLED = "EngineNotInstalled"
    ACCELERATOR_MISSING = "AcceleratorMissing"

    RESIDENCY_FORBIDDEN = "ResidencyForbidden"
    RESIDENCY_REFUSED = "ResidencyRefused"
    DATA_SOURCE_MISSING = "DataSourceMissing"
    LOCATED = "Located"
    CLAIM_NOT_FOUND = "ClaimNotFound"
    CLAIM_NOT_BOUND = "ClaimNotBound"
    BUCKET_NOT_FOUND = "BucketNotFound"
    BUCKET_NOT_ASKED = "BucketNotAsked"
    BUCKET_UNREACHABLE = "BucketUnreachable"
    NOT_SELECTED = "NotSelected"
    TAINTED = "Tainted"
    UPLINK_CAPACITY = "UplinkCapacity"
    CARBON_CAP = "CarbonCap"
    COST_CAP = "CostCap"
    TERMINATING = "Terminating"
    CREDENTIAL_ERROR = "CredentialError"
    NOT_DECLARED = "NotDeclared"
    AIR_GAP = "AirGap"
    CLIENTS_UNKNOWN = "ClientsUnknown"
    NOT_REACHABLE = "NotReachable"
    LATENCY_BOUND = "LatencyBound"
    STALE_FACTS = "StaleFacts"
    LEAVING = "Leaving"
    FAILED_HERE = "FailedHere"
    COPIES_LACKING = "CopiesLacking"
    DROPS_HELD = "DropsHeld"
    RESIDENCY_UNKNOWN = "ResidencyUnknown"

    CPU_FIT = "CpuFit"
    ACCELERATOR_CAPACITY = "AcceleratorCapacity"
    CLUSTER_NOT_OBSERVED = "ClusterNotObserved"
    API_MISSING = "ApiMissing"
    NAME_CONFLICT = "NameConflict"
    REFUSED = "Refused"
    POOL_STARTING = "PoolStarting"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    UPGRADE_WAITING = "UpgradeWaiting"
    QUARANTINED = "Quarantined"
    NAMESPACE_ENDING = "NamespaceEnding"
    NAMESPACE_NOT_ACCEPTED = "NamespaceNotAccepted"
    AGENT_TOO_OLD = "AgentTooOld"
    ORPHANED = "Orphaned"
    OBSERVED = "Observed"

    CONNECTED = "Connected"
    DEGRADED = "Degraded"
    UNREACHABLE = "Unreachable"
    KUBECONFIG_MISSING = "KubeconfigMissing"
    KUBECONFIG_REFUSED = "KubeconfigRefused"
    CLUSTER_PROFILE_MISSING = "ClusterProfileMissing"
    CLUSTER_PROFILE_REFUSED = "ClusterProfileRefused"
    CREDENTIAL_PLUGIN_FAILED = "CredentialPluginFailed"
    UNAUTHORIZED = "Unauthorized"
    FORBIDDEN = "Forbidden"
    NOT_PREPARED = "NotPrepared"
    DUPLICATE_CLUSTER = "DuplicateCluster"
    ANOTHER_CLUSTER = "AnotherCluster"
    NOT_CONNECTED = "NotConnected"
    BUNDLED = "Bundled"
    BUNDLE_STALE = "BundleStale"
    SCHEDULABLE = "Schedulable"

    FETCHING = "Fetching"
    SOURCE_UNREACHABLE = "SourceUnreachable"
    DIGEST_MISMATCH = "DigestMismatch"
    INVALID_WEIGHTS = "InvalidWeights"
    DISK_FULL = "DiskFull"
    WEIGHTS_MISSING = "WeightsMissing"

    PROGRESSING = "Progressing"
    DEPLOYED = "Deployed"
    DEPLOY_FAILED = "DeployFailed"
    START_TIMEOUT = "StartTimeout"
    LOAD_FAILED = "LoadFailed"
    ENGINE_DIED = "EngineDied"
    MALFORMED_ANSWER = "MalformedAnswer"

    GATEWAY_UNREACHABLE = "GatewayUnreachable"
    NOT_SERVED_HERE = "NotServedHere"

    WRONG_ENDPOINT = "WrongEndpoint"
    TOO_MANY_TOKENS = "TooManyTokens"

    VERIFIED = "Verified"
    PROBE_FAILED = "ProbeFailed"
    AWAKE = "Awake"
    ASLEEP = "Asleep"
    PARKED = "Parked"
    WAITING = "Waiting"
    NOTHING_TO_DO = "NothingToDo"


EXPLANATIONS: Final[dict[Reason, str]] = {
    Reason.INVALID_MANIFEST: "The manifest is not valid YAML or breaks the schema. The message "
    "names the file, the line and the field.",
    Reason.DUPLICATE_NAME: "Two manifests declare the same kind and name. The first one read is "
    "used; rename or delete the other.",
    Reason.RESOLVED: "The card, the licence, the engine's options and the sizes are known.",
    Reason.UNKNOWN_MODEL: "`spec.model` names no ModelCard. The message lists the nearest names; "
    "`slm catalog list` prints all.",
    Reason.UNKNOWN_VARIANT: "The card has no variant of that name. The message lists those it has.",
    Reason.CLOSED_MODEL: "The publisher does not give out the weights. The message names open "
    "models of the same size.",
    Reason.LICENSE_NOT_ACCEPTED: "The card's licence restricts use. Read it, then set "
    "`spec.acceptLicense` to exactly the licence id in the message.",
    Reason.SECRET_MISSING: "The publisher gives the weights only to accounts that asked for "
    "access, and no secret with a token was found under the name in the message.",
    Reason.ENGINE_CANNOT_RUN: "The engine cannot run this architecture, format or task. The "
    "message says which engine can.",
    Reason.CONTEXT_TOO_LONG: "`spec.contextLength` is more than the model was trained for.",
    Reason.ENGINE_ARG_REFUSED: "`spec.engineArgs` holds an argument outside the allow-list, or one "
    "that needs the card's `allowUnsafeArgs` and `isolation: Dedicated`.",
    Reason.SOURCE_NOT_SUPPORTED: "The scheme of `spec.source.uri` is not one that is read here.",
    Reason.ARCHITECTURE_UNKNOWN: "The card does not state what memory is computed from, so the "
    "size is unknown; unknown is never taken for zero. Set `spec.resources.memory`.",
    Reason.PLACED: "A machine is chosen on which the model fits.",
    Reason.MEMORY_FIT: "The model needs more memory than there is, or than is free of models in "
    "use. The message gives need, have, and what would fit or who holds it.",
    Reason.ENGINE_NOT_INSTALLED: "The only engine that runs this variant is not installed here.",
    Reason.ACCELERATOR_MISSING: "The model asks for an accelerator that the machine does not have.",
    Reason.RESIDENCY_FORBIDDEN: "The laws of the data allow no cluster that there is. The message "
    "names the DataSources, what they allow together, and where the cluster is; a cluster without "
    "a jurisdiction is never allowed. A copy that runs there is ended at once.",
    Reason.RESIDENCY_REFUSED: "The cluster that is to serve the model refuses it: its own "
    "settings, which no hub writes, say that it is in a country that the law of the data does not "
    "allow. The message has both.",
    Reason.DATA_SOURCE_MISSING: "`spec.data` names a DataSource that the namespace does not have, "
    "or one of the namespace cannot be read. The message lists those that are there.",
    Reason.LOCATED: "The claim that a DataSource names is bound in a cluster: the message says in "
    "which ones, where its volume is, and from what that was read. Or the bucket is in a region, "
    "which S3 told or `spec.locations` says.",
    Reason.CLAIM_NOT_FOUND: "No cluster that was asked has a claim of the name in `spec.claim` in "
    "the DataSource's namespace. The message lists the clusters; correct the name, make the claim, "
    "or write `spec.locations`. Until then, where the data is counts as unknown.",
    Reason.CLAIM_NOT_BOUND: "The claim in `spec.claim` is there and has no volume, and data is "
    "where the volume is. `kubectl describe pvc` says what it waits for.",
    Reason.BUCKET_NOT_FOUND: "S3 has no bucket of the name in `spec.bucket`. Correct it, make the "
    "bucket, or write `spec.locations`. Until then, where the data is counts as unknown.",
    Reason.BUCKET_NOT_ASKED: "This installation asks no S3 where buckets are: the chart's value "
    "`dataSources.s3Endpoint` is empty. Write `spec.locations`, or have an administrator set it.",
    Reason.BUCKET_UNREACHABLE: "S3 did not answer, or its answer does not say where the bucket is. "
    "The message has the address that was asked. It is asked again each minute.",
    Reason.NOT_SELECTED: "`spec.placement` leaves every cluster out, by tier or label; or it is "
    "set, or `spec.data` is, on a machine without Kubernetes, of which nothing is declared.",
    Reason.TAINTED: "The ModelCluster has a taint that `spec.placement.tolerations` does not name.",
    Reason.UPLINK_CAPACITY: "What the model reads of its data would take more than 70 % of a line, "
    "that of the cluster or that of the data. The message has both numbers.",
    Reason.CARBON_CAP: "The cluster's grid is above `spec.placement.maxGridIntensity`. Where it is "
    "assumed, the message says from what.",
    Reason.COST_CAP: "A copy would cost more than `spec.placement.maxCostPerHour`. The message has "
    "both amounts; `status.decision` has what they are made of.",
    Reason.TERMINATING: "The cluster is being removed from the hub, so nothing new goes there.",
    Reason.CREDENTIAL_ERROR: "The cluster answers and refuses the hub's credentials. Renew them; "
    "what runs there goes on, and nothing new is placed there meanwhile.",
    Reason.NOT_DECLARED: "A copy is on a cluster of which there is no ModelCluster any more, so "
    "nothing is known of it. It is left alone: create the ModelCluster again.",
    Reason.AIR_GAP: "The cluster is isolated, and the model's weights or data are elsewhere.",
    Reason.CLIENTS_UNKNOWN: "`spec.placement.clients` names neither a cluster nor a place of which "
    "a ModelCluster says anything. The message lists the names that are known.",
    Reason.NOT_REACHABLE: "Callers of another cluster cannot ask this one, since its ModelCluster "
    "has no `spec.gateway.address`. It is asked where `spec.placement` has `clients` or "
    "`maxRoundTrip`.",
    Reason.LATENCY_BOUND: "The round trip from the clients is above `spec.placement.maxRoundTrip`, "
    "or is not known.",
    Reason.STALE_FACTS: "What the cluster has room for was not seen lately, or never. New copies "
    "need facts of the last 5 minutes; what runs there stays.",
    Reason.LEAVING: "A copy of the model is still being taken down on the cluster.",
    Reason.FAILED_HERE: "A copy did not answer within `spec.placement.progressDeadline`, so "
    "another cluster is tried. The message says when this one is tried again; a change of the "
    "spec is tried everywhere at once.",
    Reason.COPIES_LACKING: "Fewer clusters than `spec.placement.copies` can serve the model. The "
    "message says what the nearest of the others lacks; copies follow by themselves.",
    Reason.DROPS_HELD: "Many copies would be taken down within a minute, which is more often a "
    "mistake than a wish, so they stay. The message has the command that allows it.",
    Reason.RESIDENCY_UNKNOWN: "A law ended a copy on a cluster that cannot be reached, so it may "
    "run on until its cluster learns of it.",
    Reason.CPU_FIT: "No node has the CPU that the model's pods ask for, or none has it free. The "
    "message gives need and have; lower `spec.resources.cpu`, or wait where it says so.",
    Reason.ACCELERATOR_CAPACITY: "The cluster has the accelerator, and all of them are taken. The "
    "message says how many there are, and who holds them; the model goes on when one is free.",
    Reason.CLUSTER_NOT_OBSERVED: "Nothing is known of the cluster yet, or it did not answer. "
    "Unknown is never taken for empty: what runs there is left alone.",
    Reason.API_MISSING: "An API that the model needs is not installed, or is too old: KubeRay's. "
    "The message has the command that installs it; models go on by themselves once it is there.",
    Reason.NAME_CONFLICT: "An object of the name that is needed exists and is not ours. It is "
    "never touched: rename or delete it.",
    Reason.REFUSED: "The API server refuses an object that the model needs, for example for a "
    "quota or a policy. The message has its words; it is tried again by itself.",
    Reason.POOL_STARTING: "The Ray cluster that will serve the model is starting. Where no node "
    "has room for its pods, the message has the scheduler's words.",
    Reason.IMAGE_PULL_FAILED: "A node cannot pull the image of a pool or of a fetch Job. The "
    "message has the image and the registry's words; what another pool serves goes on. Correct the "
    "image in the chart's values, or let the nodes reach it: the model then goes on by itself.",
    Reason.UPGRADE_WAITING: "The pool has a newer template, and there is no room for a second pool "
    "beside it. The model goes on where it is until there is.",
    Reason.QUARANTINED: "This revision never worked, and is out of its pool until it is tried "
    "again. The message has the error and the time; a change of the spec is tried at once.",
    Reason.NAMESPACE_ENDING: "The namespace is being deleted, so nothing is made in it.",
    Reason.NAMESPACE_NOT_ACCEPTED: "A namespace of another cluster takes models only where its "
    "administrator labelled it `smallmodel.dev/accept-from` with the id of the hub. The message "
    "has the command. What runs there already goes on.",
    Reason.AGENT_TOO_OLD: "The placement was written by a newer version of the operator than the "
    "one that is to carry it out, or the cluster's CRDs are older and have not all of its fields. "
    "What runs goes on as it is; upgrade the operator, or the CRDs of that cluster.",
    Reason.ORPHANED: "A cluster has a placement that its hub does not have, for example because "
    "the hub was restored from an older backup. It is served on and never deleted by itself.",
    Reason.OBSERVED: "The cluster answered, and its facts are in the status.",
    Reason.CONNECTED: "The hub reads and writes in the cluster.",
    Reason.DEGRADED: "The cluster answers slowly, or not always. The hub goes on with it.",
    Reason.UNREACHABLE: "The cluster did not answer three times in a row. What runs there is taken "
    "to go on; nothing is deleted or moved for that, and nothing new goes there. A model with "
    "`spec.placement.whenUnreachable: Substitute` gets another copy after five minutes.",
    Reason.KUBECONFIG_MISSING: "The Secret that `spec.connection.kubeconfigSecretRef` names is not "
    "in the operator's namespace, or lacks the key. The credentials from before are used for half "
    "a minute, so that a Secret may be made anew.",
    Reason.KUBECONFIG_REFUSED: "The kubeconfig asks for more than it may: a program, a path, a "
    "proxy, or a server that is not verified. The message has the field and what to write instead.",
    Reason.CLUSTER_PROFILE_MISSING: "The ClusterProfile that `spec.connection.clusterProfileRef` "
    "names is not there, or the hub has no such kind. The message says which.",
    Reason.CLUSTER_PROFILE_REFUSED: "The ClusterProfile lists no credential provider that the "
    "operator was installed with (the chart's `clusters.credentialProviders`), or its address or "
    "authority cannot be used. The message has the value.",
    Reason.CREDENTIAL_PLUGIN_FAILED: "The credential plugin gave no token: it is not there, ended "
    "with an error, took too long or answered with something else. The message says which; what "
    "it wrote on its standard error is in the operator's log. It is run again every 10 s.",
    Reason.UNAUTHORIZED: "The cluster's API server does not know the token or certificate. Run "
    "`slm cluster join` again, or write a new kubeconfig into the Secret; no restart is needed. A "
    "credential plugin is asked for another token by itself.",
    Reason.FORBIDDEN: "The cluster's API server knows the hub and does not let it read or write. "
    "The message has the call; `slm cluster join` grants what is needed. Of a model: its pool "
    "cannot be asked for want of a right, and what runs goes on.",
    Reason.NOT_PREPARED: "The cluster lacks the operator's namespace or kinds. Run "
    "`slm cluster join`.",
    Reason.DUPLICATE_CLUSTER: "Two ModelClusters lead to one cluster, by the UID of its namespace "
    "kube-system. The one that was connected first counts; delete the other.",
    Reason.ANOTHER_CLUSTER: "The address leads to another cluster than before. Where it was made "
    "anew, write its UID, which the message has, into `spec.connection.clusterUID`; otherwise "
    "correct the kubeconfig or the ClusterProfile.",
    Reason.NOT_CONNECTED: "Nothing connects the hub and the cluster: `spec.connection.mode` is "
    "Local and this is not the operator's own cluster, or Pull and no agent called, or Bundle and "
    "no file was imported.",
    Reason.BUNDLED: "Nobody calls the cluster: signed files are carried there and back. What is "
    "known of it is as old as the last file, whose time the message has.",
    Reason.BUNDLE_STALE: "The last file of the cluster is older than "
    "`spec.connection.bundleMaxAge`. It counts as one that does not answer until a newer one is "
    "imported: `slm bundle export --status` there, `slm bundle import` here.",
    Reason.SCHEDULABLE: "New copies may go there.",
    Reason.FETCHING: "Weights are being copied into the cache; the message has the progress.",
    Reason.SOURCE_UNREACHABLE: "The weights' source did not answer, or does not have the file.",
    Reason.DIGEST_MISMATCH: "The fetched file is not the one whose sha256 was declared. It was "
    "deleted and never served.",
    Reason.INVALID_WEIGHTS: "The file is cut short or is not of the declared format.",
    Reason.DISK_FULL: "The cache's disk has less room than the weights need.",
    Reason.WEIGHTS_MISSING: "The verified file is no longer in the cache, or was changed there.",
    Reason.PROGRESSING: "Work is in progress; the message says which step.",
    Reason.DEPLOYED: "The current serving hash runs in its pool.",
    Reason.DEPLOY_FAILED: "Ray Serve could not start the application; the message has its error.",
    Reason.START_TIMEOUT: "No replica came up within `scaling.startTimeout`.",
    Reason.LOAD_FAILED: "The engine refused the weights or its arguments; the message has its "
    "error. Requests get 503 with the same text.",
    Reason.ENGINE_DIED: "The engine's process ended; its replica is being replaced.",
    Reason.MALFORMED_ANSWER: "The engine sent what its endpoint does not promise. The request gets "
    "502; the engine goes on.",
    Reason.GATEWAY_UNREACHABLE: "The model is served by another cluster, and this gateway cannot "
    "reach that cluster's. The message has its name; look at `spec.gateway.address` of its "
    "ModelCluster, and at both gateways' certificates. The request gets 503.",
    Reason.NOT_SERVED_HERE: "The gateway of another cluster asked for a model that is not served "
    "here, which passes by itself when a copy has just come or gone. The request gets 503.",
    Reason.WRONG_ENDPOINT: "The model's task does not have the endpoint that was asked for; the "
    "message names the one to use. The request gets 400.",
    Reason.TOO_MANY_TOKENS: "The request's limit of tokens is beyond the model's context. The "
    "request gets 400.",
    Reason.VERIFIED: "A real completion came back from the current serving hash.",
    Reason.PROBE_FAILED: "The verifying request did not return what its endpoint promises.",
    Reason.AWAKE: "The weights are in memory.",
    Reason.ASLEEP: "Idle for `scaling.idleTimeout`: the weights are out of memory, the process "
    "stays. The next request wakes it in about a second.",
    Reason.PARKED: "Idle for `scaling.parkAfter`: no replica. The next request starts one.",
    Reason.WAITING: "An earlier step has to succeed first.",
    Reason.NOTHING_TO_DO: "The object is as its spec says.",
}
"""What each reason means and what to do about it, in Markdown."""
