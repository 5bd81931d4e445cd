"""The engine of a server: requests that come at any time share one running batch, and each gets the picture that it would get alone.

Requests may differ in everything that `Model.generate` takes, and in the order that they are drawn in. All that follows from a request
alone is prepared when it is submitted; a step is one pass through the network for all that are under way. Not for several threads at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch

from .decode import Decoding, Guidance
from .decode.continuous import Batch, Sample, room_of
from .decode.guidance import guidance as as_guidance
from .decode.loop import Run
from .errors import UsageError
from .heads.base import Picker
from .layout import Tokens, blank
from .model import Model
from .noise import Noise
from .orders import Adaptive, Order
from .partial import Partial


class Engine:
    """Draws many requests with one model, up to `rows` rows at a time: a request takes one, or two while it is guided.

    `orders` are those that requests may name beside the system's own; every row has room for the longest. The cache is allocated here
    and never again.

    Raises UsageError for a system whose samples cannot share a batch: orders that choose while they decode (masks by confidence), and
    heads that ask the network several times a step.
    """

    def __init__(self, model: Model, rows: int = 16, orders: Sequence[Order] = ()) -> None:
        if not isinstance(rows, int) or isinstance(rows, bool) or rows < 1:
            raise UsageError(f"rows must be a whole number of at least 1, got {rows!r}")
        self.model, self._steps, self._sample_steps = model.eval(), 0, 0
        rooms = [self._room(order) for order in (model.system.order, *orders)]
        with torch.inference_mode():
            like = model.asked(None, None, (1.0,))[0].prefix
            self._batch = Batch(model.network, rows, max(rooms), like)
        self._tickets = itertools.count()
        self._waiting: dict[int, Sample] = {}  # in the order in which they came
        self._live: dict[Sample, int] = {}

    # -- what is going on

    @property
    def live(self) -> int:
        """How many requests are being drawn."""
        return len(self._live)

    @property
    def waiting(self) -> int:
        """How many requests wait for rows."""
        return len(self._waiting)

    @property
    def rows(self) -> int:
        """How many rows are in use."""
        return len(self._batch.owners)

    @property
    def steps(self) -> int:
        """How many steps the batch has taken."""
        return self._steps

    @property
    def sample_steps(self) -> int:
        """How many steps all requests have taken, each counted for itself."""
        return self._sample_steps

    def partial(self, ticket: int) -> Partial:
        """The picture of a request so far; the next step reuses its tensors. Raises UsageError where it is neither live nor waiting."""
        live = {number: sample for sample, number in self._live.items()}
        found = live.get(ticket) or self._waiting.get(ticket)
        if found is None:
            raise UsageError(f"ticket {ticket!r} is none of a request that is waiting or being drawn")
        return self._partial(found)

    # -- requests

    def submit(
        self,
        condition: Any = None,
        *,
        seed: int = 0,
        first: int = 0,
        guidance: float | Guidance | None = None,
        pick: Picker | None = None,
        negative: Any = None,
        order: Order | None = None,
    ) -> int:
        """Queues the picture that `Model.generate` draws of these, and gives the ticket that it will come with.

        It is sample `first` of `seed`. `order` is another one for the same weights. Raises UsageError for what `Model.generate` refuses,
        and for what cannot be drawn together with others; those under way are not touched.
        """
        system, network = self.model.system, self.model.network
        if not isinstance(first, int) or isinstance(first, bool):
            raise UsageError(f"first must be an integer, got {first!r}")
        if pick is not None and not (callable(pick) and hasattr(pick, "temperature")):
            raise UsageError(f"pick must be a Pick, such as Pick(temperature=0.9), got {pick!r}")
        order = system.order if order is None else order
        schedule = system.guidance if guidance is None else as_guidance(guidance)
        noise = Noise(seed, [first], self.model.device)
        with torch.inference_mode():
            conditions = self.model.asked(condition, negative, schedule.scales(self._sizes(order)))
            start = blank(system.tokenizer.unit, system.layout, 1, self.model.device)
            run = Run(network, order.plan(system.layout, noise), start.data, conditions, schedule)
            sample = Sample(run, network.head.draw(noise, system.layout.sites), pick or system.pick)
        self._batch.check(sample)
        ticket = next(self._tickets)
        self._waiting[ticket] = sample
        return ticket

    def cancel(self, ticket: int) -> bool:
        """Forgets a request, whose rows are free for the next step. False where it is unknown or done already."""
        if self._waiting.pop(ticket, None):
            return True
        found = next((sample for sample, number in self._live.items() if number == ticket), None)
        if found is None:
            return False
        self._batch.leave(found)
        del self._live[found]
        return True

    def step(self) -> list[tuple[int, Partial]]:
        """Lets waiting requests in, first come first served, takes one step of all that are live, and gives those that are done.

        Each comes with its ticket; `Partial.images` paints it.
        """
        self._admit()
        if not self._live:
            return []
        self._steps += 1
        self._sample_steps += len(self._live)
        return [(self._live.pop(sample), self._partial(sample)) for sample in self._batch.step()]

    def run(self, requests: Iterable[Mapping[str, Any]] = ()) -> Iterator[tuple[int, Partial]]:
        """Draws requests, each the arguments of `submit`, and all that came otherwise; yields every one when it is done.

        A request is taken when there is room for it, so they may be without number.
        """
        coming = iter(requests)
        while True:
            while not self.waiting and (request := next(coming, None)) is not None:
                self.submit(**request)
                self._admit()
            if not self.live and not self.waiting:
                return
            yield from self.step()

    def _admit(self) -> None:
        for ticket, sample in list(self._waiting.items()):
            if not self._batch.fits(sample):
                return
            self._batch.join(sample)
            self._live[sample] = ticket
            del self._waiting[ticket]

    # -- the door

    def _sizes(self, order: Order) -> tuple[int, ...]:
        """The step sizes of an order. Raises UsageError where it is none that this model can be asked to follow in company."""
        if not isinstance(order, Order):
            raise UsageError(f"order must be an order, such as Raster(), got {order!r}")
        if isinstance(order, Adaptive):
            raise UsageError(
                f"order {type(order).__name__} chooses its sites while it decodes, so that samples do not share a batch; use "
                "Model.generate, or a model under a fixed order"
            )
        system = self.model.system
        sizes = order.sizes(system.layout)
        system.wiring.check(sizes, system.layout)
        return sizes

    def _room(self, order: Order) -> int:
        network = self.model.network
        return room_of(network, network.script(self._sizes(order), self.model.device))

    def _partial(self, sample: Sample) -> Partial:
        plan, layout = sample.run.plan, self.model.system.layout
        known = torch.zeros(plan.perm.shape, dtype=torch.bool, device=plan.perm.device)
        known.scatter_(-1, plan.perm[..., : plan.starts[sample.step]], True)
        return Partial(
            Decoding(Tokens(sample.run.tokens, layout), known, sample.step, sample.steps), self.model.system, self.model
        )
