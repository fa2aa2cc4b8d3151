"""Which modules of a model are taken as binary, and for each why or why not."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING

import torch

from recu_analysis.capture.adapters.layer import BinaryLayer
from recu_analysis.capture.adapters.modules import computed, latent_of, plain_modules, weight_of
from recu_analysis.capture.adapters.registry import Adapter, Meaning, refuse_unusable, registered, two_valued
from recu_analysis.errors import InputError, NoBinaryLayersError, kind_of_value, listed
from recu_analysis.theory.standardize import WeightTransform

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd

#: Modules that an error lists before it says how many more there are.
LISTED = 8
#: Classes that the error names where no layer is recognised.
CLASSES = 4


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found of one module with a weight: the binary layer, or why it is none."""

    name: str
    kind: str
    shape: tuple[int, ...]
    layer: BinaryLayer | None
    why: str
    refused: bool = False


def binary_layers(model: torch.nn.Module, layers: Sequence[str] | str | None = None) -> list[BinaryLayer]:
    """The binary layers of a model, in its order; a weight that several modules share is taken once.

    Parameters
    ----------
    model : torch.nn.Module
        Also in DataParallel, DistributedDataParallel or torch.compile, which do not show in the names.
    layers : str or sequence of str, optional
        Patterns (``*``, ``?``, ``[...]``) of module names to take instead of what is recognised. A matching
        module that no adapter knows is taken to binarise its `weight` by its plain sign.

    Raises
    ------
    NoBinaryLayersError
        If there is none; the text names the classes that were seen, and what to do.
    InputError
        If a pattern matches no module that has a weight, or one that cannot be recorded.
    """
    verdicts = _judged(model, layers)
    refused = [f"{verdict.name or '(itself)'}: {verdict.why}" for verdict in verdicts if verdict.refused]
    if refused and layers is not None:
        raise InputError(f"a layer that was asked for cannot be recorded: {refused[0]}")
    found = [verdict.layer for verdict in verdicts if verdict.layer]
    if not found and refused:
        raise NoBinaryLayersError(f"no layer of {type(model).__name__} can be recorded: {refused[0]}")
    if not found:
        raise NoBinaryLayersError(
            f"no binary layer was recognised in {type(model).__name__}, which has {_candidate_text(verdicts)}"
        )
    return found


def judged_layers(
    model: torch.nn.Module, layers: Sequence[str] | str | None = None
) -> tuple[pd.DataFrame, list[BinaryLayer]]:
    """The table of `find_binary_layers` without its example, and the layers that are taken, which may be none."""
    import pandas as pd

    verdicts = _judged(model, layers)
    rows = [
        (each.name, "x".join(map(str, each.shape)), each.layer is not None, _adapter(each.layer), each.why)
        for each in verdicts
    ]
    table = pd.DataFrame(rows, columns=["name", "shape", "binary", "adapter", "why"])
    return table, [verdict.layer for verdict in verdicts if verdict.layer]


def require_model(model: object) -> None:
    """InputError where a model is none of torch."""
    if not isinstance(model, torch.nn.Module):
        raise InputError(f"the model must be a torch.nn.Module, not {kind_of_value(model)}")


def _judged(model: torch.nn.Module, layers: Sequence[str] | str | None) -> list[Verdict]:
    """A verdict a module with a weight; InputError where a pattern matches none of them."""
    require_model(model)
    patterns = [layers] if isinstance(layers, str) else layers
    verdicts = _verdicts(model, patterns)
    for pattern in patterns or []:
        if not any(fnmatchcase(verdict.name, pattern) for verdict in verdicts):
            raise InputError(f"no module with a weight matches {pattern!r}; the model has {_listed(verdicts)}")
    return verdicts


def _adapter(layer: BinaryLayer | None) -> str:
    return layer.adapter if layer else ""


def _verdicts(model: torch.nn.Module, patterns: Sequence[str] | None) -> list[Verdict]:
    """One verdict a module that holds a weight; an adapter of its parent speaks for a module."""
    verdicts: dict[str, Verdict] = {}
    owners: dict[int, str] = {}
    for name, module in plain_modules(model):
        candidates = list(_candidates(name, module))
        other = None if candidates else _of_another_name(name, module, patterns)
        if other is not None:
            verdicts[name] = other
        for candidate in candidates:
            if candidate.name in verdicts:
                continue
            verdict = candidate.judge(patterns)
            if verdict.layer is not None:
                first = owners.setdefault(id(verdict.layer.parameter), verdict.name)
                if first != verdict.name:
                    verdict = Verdict(
                        verdict.name, verdict.kind, verdict.shape, None, f"shares its weight with {first}"
                    )
            verdicts[verdict.name] = verdict
    return list(verdicts.values())


def _candidates(name: str, module: torch.nn.Module) -> Iterator[Candidate]:
    """The weight that an adapter finds by a module, else the module's own, if it has one."""
    for adapter in registered():
        if not adapter.fits(module):
            continue
        meaning: Meaning | InputError
        try:
            meaning = adapter.meaning(module)
        except InputError as error:
            meaning = error
        if meaning is not None:
            try:
                owner = module.get_submodule(adapter.owner)
            except AttributeError:
                owner = module
                meaning = InputError(f"it has no {adapter.owner!r}, where adapter {adapter.name!r} looks")
            path = ".".join(filter(None, (name, adapter.owner)))
            yield Candidate(path, module, owner, adapter.weight.rpartition(".")[2], adapter, meaning)
            return
    found = weight_of(module)
    if found is not None:
        yield Candidate(name, module, module, found[0], None, None)


def _of_another_name(name: str, module: torch.nn.Module, patterns: Sequence[str] | None) -> Verdict | None:
    """Why a module is not taken whose parameter is not called weight: only an adapter can say what it is."""
    if isinstance(module, torch.nn.utils.parametrize.ParametrizationList):
        return None  # what it holds is the weight of the module that it belongs to
    for leaf, parameter in module.named_parameters(recurse=False):
        if torch.nn.parameter.is_lazy(parameter) or sum(size > 1 for size in parameter.shape) < 2:
            continue
        kind, asked = type(module).__name__, any(fnmatchcase(name, pattern) for pattern in patterns or ())
        why = f'it holds {leaf}, not weight; if that is binary, say so with @adapter("mine", {kind}, weight="{leaf}")'
        if patterns is not None and not asked:
            why = "not among the layers asked for"
        return Verdict(name, kind, tuple(parameter.shape), None, why, refused=asked)
    return None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A weight that may be binary: the module recognised, the one that holds the weight, and what an adapter said."""

    name: str
    module: torch.nn.Module
    owner: torch.nn.Module
    leaf: str
    adapter: Adapter | None
    meaning: Meaning | InputError

    def judge(self, patterns: Sequence[str] | None) -> Verdict:
        """Whether the weight is taken, given the names that the user asked for, if any."""
        kind = type(self.owner).__name__
        shape = self._shown_shape()
        if patterns is not None and not any(fnmatchcase(self.name, pattern) for pattern in patterns):
            return Verdict(self.name, kind, shape, None, "not among the layers asked for")
        try:
            layer = self._layer(asked=patterns is not None)
        except InputError as error:
            return Verdict(self.name, kind, shape, None, str(error), refused=True)
        if layer is None:
            return Verdict(self.name, kind, shape, None, self._unknown())
        return Verdict(self.name, kind, layer.shape, layer, layer.why)

    def _shown_shape(self) -> tuple[int, ...]:
        found = weight_of(self.owner)
        return () if found is None or torch.nn.parameter.is_lazy(found[1]) else tuple(found[1].shape)

    def _unknown(self) -> str:
        kind = type(self.owner).__name__
        near = [adapter.name for adapter in registered() if adapter.fits(self.module)]
        if not near:
            return f"{kind} is not known to be binary"
        own = sorted({**dict(self.owner.named_parameters()), **dict(self.owner.named_buffers())})
        return f"{kind} with {', '.join(own)} is none of the known ones of that name ({', '.join(near)})"

    def _layer(self, *, asked: bool) -> BinaryLayer | None:
        """The layer, or None where nothing says that it is binary; InputError if it cannot be taken."""
        if isinstance(self.meaning, InputError):
            raise self.meaning
        if self.adapter is None:
            return self._unadapted(asked=asked)
        latent = latent_of(self.owner, self.leaf)
        shape = self.adapter.shape_in(self.module, latent, self.meaning)
        why = self.adapter.reason(type(self.module).__name__)
        if isinstance(self.meaning, WeightTransform):
            return self._made(self.adapter.name, why, latent, shape, self.meaning)
        return self._made(self.adapter.name, why, latent, shape, partial(_effective_weight, self.adapter, self.module))

    def _unadapted(self, *, asked: bool) -> BinaryLayer | None:
        """A layer that no adapter knows: asked for by name, or parametrized to hold two values."""
        if asked:
            latent = latent_of(self.owner, self.leaf)
            why = "asked for by name; taken to use its plain sign"
            shape = () if torch.nn.parameter.is_lazy(latent) else tuple(latent.shape)
            return self._made("sign", why, latent, shape, WeightTransform())
        if torch.nn.utils.parametrize.is_parametrized(self.owner, self.leaf):
            value = computed(self.owner, self.leaf)
            if two_valued(value.reshape(len(value), -1)):
                latent = latent_of(self.owner, self.leaf)
                why = "its weight is parametrized to two values a channel"
                return self._made("parametrized", why, latent, tuple(value.shape), WeightTransform())
        return None

    def _made(
        self,
        adapter: str,
        why: str,
        latent: torch.Tensor,
        shape: tuple[int, ...],
        rule: WeightTransform | partial[torch.Tensor],
    ) -> BinaryLayer:
        refuse_unusable(latent, shape)
        if not isinstance(latent, torch.nn.Parameter):
            raise InputError(f"its {self.leaf} is no parameter")
        transform = rule if isinstance(rule, WeightTransform) else None
        effective = rule if isinstance(rule, partial) else None
        if transform is not None and torch.nn.utils.parametrize.is_parametrized(self.owner, self.leaf):
            # The layer sees what the parametrization makes of the latent weight, and transforms that.
            effective, transform = partial(_through, transform, self.owner, self.leaf, shape), None
            why += "; of what its parametrization makes of the latent weight"
        known = self.adapter
        return BinaryLayer(
            self.name, self.owner, adapter, transform, why, latent, shape, effective, watched=self.module,
            approximate=known is not None and known.approximate,
            in_place=known is not None and known.in_place,
            one_size=known is None or known.scale == "channel",
        )  # fmt: skip


def _effective_weight(adapter: Adapter, module: torch.nn.Module) -> torch.Tensor:
    """What an adapter says now that the effective weight is."""
    value = adapter.meaning(module)
    if not isinstance(value, torch.Tensor):
        raise InputError(f"adapter {adapter.name!r} gave an effective weight before and gives none now")
    return value.detach()


def _through(transform: WeightTransform, owner: torch.nn.Module, leaf: str, shape: tuple[int, ...]) -> torch.Tensor:
    """The standardised weight of a layer whose weight is parametrized."""
    value = computed(owner, leaf)
    return torch.from_numpy(transform.standardized(value.double().cpu().view(shape).numpy())).to(value.device)


def _candidate_text(verdicts: Sequence[Verdict]) -> str:
    """The classes whose weights may be binary, the user's own ones first, and how to say that they are."""
    if not verdicts:
        return "no module with a weight"
    by_kind: dict[str, list[str]] = {}
    for verdict in sorted(verdicts, key=lambda each: hasattr(torch.nn, each.kind)):
        by_kind.setdefault(verdict.kind, []).append(verdict.name or "(itself)")
    classes = [f"{kind} ({listed(names, 1)})" for kind, names in by_kind.items()]
    kind, (name, *_) = next(iter(by_kind.items()))
    return (
        f"{listed(classes, CLASSES)}; name those that are binary, as in layers=[{name!r}], or say what a class does "
        f'with @ra.adapter("mine", {kind})'
    )


def _listed(verdicts: Sequence[Verdict]) -> str:
    seen = [f"{verdict.name or '(itself)'}: {verdict.kind}" for verdict in verdicts]
    return listed(seen, LISTED) if seen else "no module with a weight"
