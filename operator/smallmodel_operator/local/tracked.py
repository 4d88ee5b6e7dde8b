"""One model of a run: what its manifest asks for, and what is known of it so far."""

from collections import deque
from dataclasses import dataclass, field

from smallmodel_operator.api.conditions import ConditionType
from smallmodel_operator.api.fetch import FetchEvent, FetchProgress
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.serving import EngineState
from smallmodel_operator.api.smallmodel import SmallModel, SmallModelStatus
from smallmodel_operator.catalog.options import ResolvedModel, ResolveError
from smallmodel_operator.local.events import ModelEvent
from smallmodel_operator.local.state import ModelReport, OptionReport, SizeReport
from smallmodel_operator.placement.placement import Placement, Unplaced
from smallmodel_operator.plan.gateway.values import Unavailable
from smallmodel_operator.plan.pool import PlannedModel
from smallmodel_operator.status.observation import (
    Deployment,
    Observation,
    Probe,
)
from smallmodel_operator.status.serve import ServedApplication
from smallmodel_operator.status.state import State, find, state
from smallmodel_operator.status.summarise import fetch_message, needs_a_person, summarise

_ERRORS_KEPT = 5


@dataclass(slots=True, kw_only=True)
class TrackedModel:
    """Changed only by `fleet`, whose tasks all run in one event loop."""

    file: str
    model: SmallModel
    generation: int
    outcome: ResolveError | Unplaced | Placement | None = None
    resolved: ResolvedModel | None = None
    fetch: FetchEvent | None = None
    planned: PlannedModel | None = None
    """What runs or is to run. While a new spec is on its way, the one before."""
    wanted_hash: str | None = None
    """The serving hash that the spec asks for, once it is planned."""
    applied_at: float = 0.0
    """When Serve was given arguments that restart the application, in seconds since the epoch."""
    deployment: Deployment | None = None
    was_served: bool = False
    """True: Serve had the model running once, and holds requests while it is restarted."""
    running_hash: str | None = None
    """The serving hash that Serve has running, as far as was seen."""
    engine: EngineState | None = None
    engine_message: str = ""
    probe: Probe | None = None
    resting: bool = False
    """True: a step failed that time may mend, and it is not yet tried again."""
    status: SmallModelStatus = field(default_factory=SmallModelStatus)
    errors: deque[str] = field(default_factory=lambda: deque(maxlen=_ERRORS_KEPT))

    @property
    def name(self) -> str:
        """The model's name, by which requests ask for it."""
        return self.model.metadata.name

    @property
    def state(self) -> State:
        """One word for people."""
        return state(self.status)

    def see(self, served: ServedApplication) -> None:
        """Take what Serve says of the application that it was given.

        Serve calls every application deploying while any of them changes. One that it had running
        with these arguments runs on meanwhile.
        """
        if self.deployment is None:
            raise ValueError(f"{self.name} was never given to Serve")
        given = self.deployment.serving_hash
        started = served.healthy and served.deployed_at >= self.applied_at
        goes_on = given == self.running_hash and not served.failed
        self.deployment = Deployment(
            serving_hash=given,
            healthy=started or goes_on,
            failed=served.failed,
            replicas=served.replicas,
            message=served.message,
        )
        if started:
            self.was_served, self.running_hash = True, given

    def refresh(self, url: str, now: str) -> bool:
        """Make the status anew, and return whether a fact changed.

        Args:
            url: The base URL of the endpoint.
            now: RFC 3339 time.
        """
        seen = Observation(
            generation=self.generation,
            url=url,
            outcome=self.outcome,
            fetch=self.fetch,
            serving_hash=self.wanted_hash,
            deployment=self.deployment,
            engine=self.engine,
            engine_message=self.engine_message,
            probe=self.probe,
        )
        before, self.status = self.status, summarise(seen, self.status, now)
        self._keep_error(now)
        return before != self.status

    def _keep_error(self, now: str) -> None:
        if self.state is not State.FAILED:
            return
        message = self.message
        if not self.errors or not self.errors[-1].endswith(message):
            self.errors.append(f"{now} {message}")

    @property
    def message(self) -> str:
        """What explains the state: the first condition that is not True, or why it rests."""
        for condition in self.status.conditions:
            if condition.status != "True":
                return condition.message
        return ""

    @property
    def unavailable(self) -> Unavailable | None:
        """Why requests cannot be served at all, or None where Serve has the model."""
        deployment = self.deployment
        if deployment is not None and deployment.failed:
            return Unavailable(reason=Reason.DEPLOY_FAILED, message=deployment.message)
        if self.was_served:
            return None
        condition = find(self.status, ConditionType.READY)
        reason = Reason(condition.reason) if condition else Reason.PROGRESSING
        if needs_a_person(reason):
            return Unavailable(reason=reason, message=self.message)
        # Without the progress in it, so that the gateway need not be told of each per cent.
        return Unavailable(
            reason=reason,
            message=f"{self.name} is not ready yet ({self.state}); `slm get` shows how far it is",
        )

    def event(self, seconds: float) -> ModelEvent:
        """Return what the supervisor shows of this model now."""
        progress = self.fetch if isinstance(self.fetch, FetchProgress) else None
        message = self.message
        if progress and self.state is State.FETCHING:
            message = fetch_message(progress)
        return ModelEvent(
            name=self.name,
            state=self.state,
            message=message,
            seconds=seconds,
            done_bytes=progress.done_bytes if progress else None,
            total_bytes=progress.total_bytes if progress else None,
        )

    def report(self, front: str) -> ModelReport:
        """Return what `slm get` and `slm describe` show.

        Args:
            front: URL of Serve's own front, past the gateway.
        """
        placement = self.outcome if isinstance(self.outcome, Placement) else None
        metadata = self.model.metadata.model_copy(update={"generation": self.generation})
        return ModelReport(
            file=self.file,
            model=self.model.model_copy(update={"metadata": metadata, "status": self.status}),
            state=self.state,
            engine_url=f"{front}/{self.name}/v1" if self.planned else None,
            engine=placement.option.engine if placement else None,
            size=_size(placement) if placement else None,
            max_replicas=placement.max_replicas if placement else None,
            threads=placement.threads if placement else None,
            rejected=self._rejected(),
            recent_errors=tuple(self.errors),
        )

    def _rejected(self) -> tuple[OptionReport, ...]:
        refusals = self.resolved.refusals if self.resolved else ()
        if isinstance(self.outcome, Placement | Unplaced):
            refusals = (*refusals, *self.outcome.rejected)
        return tuple(
            OptionReport(variant=r.variant, reason=r.reason, message=r.message) for r in refusals
        )


def _size(placement: Placement) -> SizeReport:
    option = placement.option
    size = option.size
    return SizeReport(
        weights=size.weights,
        kv_cache=size.kv_cache,
        compute=size.compute,
        process=size.process,
        total=size.total,
        kv_bytes_per_token=option.kv_bytes_per_token,
        context_length=option.context_length,
        slots=option.slots,
    )
