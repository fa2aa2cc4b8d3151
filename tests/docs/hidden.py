"""What the snippets of a page take for granted: a folder with runs, a model of the reader, a training that stopped."""

from __future__ import annotations

import functools
import re
import shutil
from typing import TYPE_CHECKING, Any

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

import recu_analysis as ra
from recu_analysis.nn import BinaryConv2d
from recu_analysis.testing import random_walk, synthetic_run
from tests.docs.pages import ROOT

if TYPE_CHECKING:
    from pathlib import Path

#: Folders of runs that pages name, and what stands in for them: shipped runs, or a seed of synthetic ones.
SHIPPED = {"runs/demo/recu": "fashion/recu-0", "runs/demo/baseline": "fashion/baseline-0"}
SYNTHETIC = {"runs/mine": 0, "runs/other": 1}
#: A table of recu-analyze intervene: the page tells how to make it.
INTERVENTION = "intervention.csv"
LAYERS = ("layer1.0.conv1", "layer2.0.conv2", "layer3.0.conv1")
#: A folder into which a snippet records; the one that is there makes room unless the snippet goes on with it.
RECORDED = re.compile(r'(?:ra\.record\([^"\n]*|RecordLatentWeights\()"(runs/[\w/-]+)"([^\n]*)')
GOES_ON = re.compile(r"\b(resume|state)=")


class Network(nn.Module):
    """A reader's network for images of 8x8 pixels, its layers named as those of ResNet-20 and binary."""

    def __init__(self, kind: type[nn.Module] = BinaryConv2d) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1)
        self.layer1, self.layer2, self.layer3 = (nn.Sequential(nn.ModuleDict(self.block(kind))) for _ in range(3))
        self.linear = nn.Linear(4, 10)

    @staticmethod
    def block(kind: type[nn.Module]) -> dict[str, nn.Module]:
        """Two convolutions of a kind."""
        return {name: kind(4, 4, 3, padding=1) for name in ("conv1", "conv2")}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of images that are flat or square."""
        values = self.conv1(images.reshape(-1, 1, 8, 8))
        for layer in (self.layer1, self.layer2, self.layer3):
            for name in ("conv1", "conv2"):
                values = functional.hardtanh(values + layer[0][name](values))
        return self.linear(values.mean(dim=(2, 3)))


def workspace(folder: Path) -> None:
    """Fill a folder with what pages expect where they are read: the shipped runs, and some of the reader."""
    (folder / "checkpoints").symlink_to(ROOT / "checkpoints")
    (folder / "runs/demo").mkdir(parents=True)
    for name, shipped in SHIPPED.items():
        (folder / name).symlink_to(ROOT / "checkpoints" / shipped)
    for name, seed in SYNTHETIC.items():
        walks = {layer: random_walk((8, 4, 3, 3), 24, seed=seed * 10 + index) for index, layer in enumerate(LAYERS)}
        synthetic_run(folder / name, walks, windows=12)
    rows = [
        f"all,{group},{treatment},1,0,2"
        for group in ("tail-silent", "random")
        for treatment in ("fixed", "re-estimated")
    ]
    columns = "layer,group,batch_norm,rise,rise_low,rise_high"
    (folder / INTERVENTION).write_text("\n".join([columns, *rows, ""]))


def taken_for_granted() -> dict[str, Any]:
    """Names that snippets use without defining them, as in any training loop."""
    torch.manual_seed(0)
    digits = load_digits()
    images = torch.tensor(digits.data[:64] / 8.0 - 1.0, dtype=torch.float32)
    labels = torch.tensor(digits.target[:64])
    model = Network()

    def train_one_epoch(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for batch in torch.randperm(len(images)).split(32):
            optimizer.zero_grad()
            functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()

    def evaluate(model: nn.Module) -> float:
        with torch.no_grad():
            return float((model(images).argmax(dim=1) == labels).float().mean() * 100)

    return {
        "__name__": "page",
        "model": model,
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3),
        "train_one_epoch": train_one_epoch,
        "evaluate": evaluate,
        "images": images,
        "labels": labels,
        "batch": images,
        "epochs": 12,
        "accuracy": 90.0,
        "train": 91.0,
        "validation": 90.0,
    }


def make_room(code: str) -> None:
    """Remove the folders into which a snippet records anew, as a reader would who tries one snippet after another."""
    for folder, rest in RECORDED.findall(code):
        if not GOES_ON.search(rest):
            shutil.rmtree(folder, ignore_errors=True)


def before_lightning(names: dict[str, Any]) -> None:
    """A module and a loader; a Trainer stops soon and writes nothing beside the run."""
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = Network()

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            return functional.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    pairs = torch.utils.data.TensorDataset(taken_for_granted()["images"], taken_for_granted()["labels"])
    for key, value in {"module": Module(), "loader": torch.utils.data.DataLoader(pairs, batch_size=32)}.items():
        names.setdefault(key, value)


def before_transformers(names: dict[str, Any]) -> None:
    """A model that returns its loss, examples, and arguments, unless the page has some."""
    from transformers import TrainingArguments

    if "arguments" in names or "TrainingArguments" in names:
        return

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = Network()

        def forward(self, pixels: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
            logits = self.net(pixels)
            return {"loss": functional.cross_entropy(logits, labels), "logits": logits}

    given = taken_for_granted()
    pairs = zip(given["images"], given["labels"], strict=True)
    names["model"], names["images"] = Model(), [{"pixels": image, "labels": label} for image, label in pairs]
    names["arguments"] = TrainingArguments("results", max_steps=4, use_cpu=True, report_to=[], disable_tqdm=True)


def before_resuming(names: dict[str, Any]) -> None:
    """A run that was stopped at update 1200, with the model and the optimizer that stood there."""
    shutil.rmtree("runs/mine", ignore_errors=True)
    names |= recorded_until(1200)


def before_resuming_within_a_window(names: dict[str, Any]) -> None:
    """A run that was stopped in the middle of a window, and its state."""
    shutil.rmtree("runs/mine", ignore_errors=True)
    names |= recorded_until(3, mark=False)


def before_converting(names: dict[str, Any]) -> None:
    """The network before it was made binary."""
    names["model"] = Network(nn.Conv2d)


def before_sampling(names: dict[str, Any]) -> None:
    """The reader's own network and loop, where a page has shown others."""
    names |= taken_for_granted()


def recorded_until(update: int, *, mark: bool = True) -> dict[str, Any]:
    """A small model after some updates, all of them recorded; its optimizer, and the state of the recording."""
    model = nn.Sequential(BinaryConv2d(2, 2, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    with ra.record(model, optimizer, "runs/mine") as recorder:
        for _ in range(update):
            optimizer.step()
        if mark:
            recorder.mark()
        state = recorder.state_dict()
    return {"model": model, "optimizer": optimizer, "state": state}


#: What is set up before a snippet that contains these words.
SET_UPS = {
    "from lightning": before_lightning,
    "from transformers": before_transformers,
    "resume=1200": before_resuming,
    "ra.convert(model": before_converting,
    "channels=0.05": before_sampling,
    "state=state": before_resuming_within_a_window,
}


def run(code: str, where: str, names: dict[str, Any]) -> None:
    """Run one snippet in the namespace of its page."""
    make_room(code)
    for words, set_up in SET_UPS.items():
        if words in code:
            set_up(names)
    exec(compile(code, where, "exec"), names)


def quiet_lightning(monkeypatch: Any) -> None:
    """Let a Trainer of Lightning stop after two epochs, and neither print nor log."""
    import lightning
    import lightning.pytorch

    usual = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    short = functools.partial(lightning.Trainer, accelerator="cpu", **usual)
    monkeypatch.setattr(lightning.pytorch, "Trainer", short)
    monkeypatch.setattr(lightning, "Trainer", functools.partial(short, max_epochs=2))
