"""recu-analyze evaluate: loss and accuracies of a saved network."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from recu_analysis.analysis.rendering import number
from recu_analysis.cli import options
from recu_analysis.cli.output import View, write_table
from recu_analysis.cli.target import table_target
from recu_analysis.errors import CheckpointError
from recu_analysis.training.config import IMAGE_SIZE, IMAGE_SIZES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch

    from recu_analysis.cli.target import Target
    from recu_analysis.training.data import Dataset, Text


@click.command("evaluate", epilog="Example: recu-analyze evaluate runs/demo/recu")
@click.argument("checkpoint", metavar="CHECKPOINT", type=click.Path(path_type=Path))
@click.option("--network", metavar="NAME", help="Network, such as resnet20; not needed for a run directory.")
@click.option("--dataset", metavar="NAME", help="Data set, such as digits; by default that of the run directory.")
@click.option("--data-dir", metavar="DIR", help="Folder of the data set, if pip does not install it.")
@click.option(
    "--image-size",
    type=click.IntRange(*IMAGE_SIZES),
    metavar="PIXELS",
    help="Size of images of image-folder; by default that of the run directory.",
)
@click.option("--data-file", metavar="FILE", help="The text of a run of ternary-lm, if it has moved.")
@options.unsafe_load
@table_target
@options.common
def command(
    checkpoint: Path,
    network: str | None,
    dataset: str | None,
    data_dir: str | None,
    image_size: int | None,
    data_file: str | None,
    unsafe_load: bool,
    target: Target,
) -> None:
    """Print loss, top-1 and top-5 of CHECKPOINT on the validation part of a data set.

    CHECKPOINT is a run directory of recu-analyze train, or a .pth.tar file of ReCU's authors. Code in such a file is
    not run unless --unsafe-load is given.
    """
    import pandas as pd

    from recu_analysis.training.evaluation import load_authors, not_finite, run_of, score

    run_dir = run_of(checkpoint)
    if run_dir is not None:
        network, dataset, data, model = _of_run(run_dir, network, dataset, data_dir, image_size, data_file)
    elif not checkpoint.exists():
        raise CheckpointError(f"{checkpoint} does not exist; give a run directory or a .pth.tar file")
    elif network is None or dataset is None:
        raise click.UsageError("a .pth.tar file names no network and no data set; give --network and --dataset")
    else:
        loaded = load_authors(checkpoint, network, unsafe_load=unsafe_load)
        data, model = _with_data(checkpoint, loaded, dataset, data_dir, image_size, data_file)
    spoilt = not_finite(model)
    if spoilt:
        more = f" and {len(spoilt) - 1} more tensors" if len(spoilt) > 1 else ""
        options.warn(f"{spoilt[0]}{more} of {checkpoint} are NaN or infinite; loss and accuracies have no meaning")
    scores = score(model, _shown(data))
    if not spoilt and not math.isfinite(scores.loss):
        options.warn(f"outputs of {checkpoint} are NaN or infinite; loss and accuracies have no meaning")
    facts = {"checkpoint": str(checkpoint), "network": network, "dataset": dataset, "images": scores.images}
    measured = {"loss": scores.loss, "top1": scores.top1, "top5": scores.top5}
    if dataset == "text":
        measured["bits_per_byte"] = scores.loss / math.log(2)
    caption = f"Loss and accuracies of {checkpoint.name}."
    told = _told(facts | measured)
    write_table(
        View(pd.DataFrame([facts | measured]), caption=caption, runs=[checkpoint.name], explained=(), lines=told),
        target,
    )


def _of_run(
    run_dir: Path,
    network: str | None,
    dataset: str | None,
    data_dir: str | None,
    image_size: int | None,
    data_file: str | None,
) -> tuple[str, str, Dataset | Text, torch.nn.Module]:
    """Names, data and network of a run; by default the data of its training."""
    from recu_analysis.errors import InputError
    from recu_analysis.training.checkpoint import load_position
    from recu_analysis.training.data import load_dataset
    from recu_analysis.training.evaluation import load_trained

    config = load_position(run_dir).config
    if network not in (None, config.network):
        raise InputError(f"{run_dir} is a run of {config.network}, not of {network}; remove --network")
    name = dataset or config.dataset
    own = name == config.dataset
    replace(config, dataset=name)  # refuses images for a network for text, and the reverse
    data = load_dataset(
        name,
        data_dir or (config.data_dir if own else None),
        image_size or (config.image_size if own else IMAGE_SIZE),
        data_file or (config.data_file if own else None),
    )
    return config.network, name, data, load_trained(run_dir, data.classes)


def _with_data(
    path: Path,
    loaded: tuple[torch.nn.Module, int],
    dataset: str,
    data_dir: str | None,
    image_size: int | None,
    data_file: str | None,
) -> tuple[Dataset | Text, torch.nn.Module]:
    """The data for the network of a .pth.tar file, and the network."""
    from recu_analysis.training.data import load_dataset
    from recu_analysis.training.evaluation import check_classes

    model, classes = loaded
    data = load_dataset(dataset, data_dir, image_size or IMAGE_SIZE, data_file)
    check_classes(path, classes, dataset, data.classes)
    return data, model


def _shown(data: Dataset | Text) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The batches of the validation part, with a progress bar on a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    silent = options.quiet() or not console.is_terminal
    for images, labels in track(data.val_batches(), "evaluating", console=console, transient=True, disable=silent):
        yield data.normalized(images), labels


def _told(row: dict[str, Any]) -> Callable[[int | None], list[str]]:
    """The results in two lines."""
    top1, top5, loss = (number(row[name], form) for name, form in (("top1", ".2f"), ("top5", ".2f"), ("loss", ".4f")))
    what = "bytes" if "bits_per_byte" in row else "images"
    bits = f", {number(row['bits_per_byte'], '.4f')} bits per byte" if "bits_per_byte" in row else ""
    where = f"{row['network']} on {row['images']} {what} of {row['dataset']}"
    return lambda _: [where, f"top-1 {top1} %, top-5 {top5} %, loss {loss}{bits}"]
