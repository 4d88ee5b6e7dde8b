"""Why weights cannot be fetched or opened; each error carries the reason that conditions use."""

from typing import ClassVar

from smallmodel_operator.api.reasons import Reason


class WeightsError(Exception):
    """Base of all errors of this package. The text says the value, the rule and the next step."""

    reason: ClassVar[Reason]


class SourceNotSupported(WeightsError):
    """The URI names a scheme or a place that is not read here."""

    reason = Reason.SOURCE_NOT_SUPPORTED


class SourceUnreachable(WeightsError):
    """The source did not answer, or does not have the file."""

    reason = Reason.SOURCE_UNREACHABLE


class SourceCut(SourceUnreachable):
    """The source failed in a way that may pass: worth another try from where it stopped."""


class SecretMissing(WeightsError):
    """The source wants a token and got none, or refused the one it got."""

    reason = Reason.SECRET_MISSING


class DigestMismatch(WeightsError):
    """The bytes are not those that were declared."""

    reason = Reason.DIGEST_MISMATCH


class InvalidWeights(WeightsError):
    """The file is cut short, or is not of the format that its name promises."""

    reason = Reason.INVALID_WEIGHTS


class DiskFull(WeightsError):
    """The cache's disk has less room than the weights need."""

    reason = Reason.DISK_FULL


class WeightsMissing(WeightsError):
    """There is no verified file: it was never fetched, is gone, or was changed."""

    reason = Reason.WEIGHTS_MISSING
