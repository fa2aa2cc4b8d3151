"""A training of two processes that torchrun starts, with accelerate, Lightning or transformers."""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import TensorDataset

import recu_analysis as ra
from recu_analysis.nn import BinaryConv2d

IMAGES, BATCH = 24, 4
RANKS = 2


class Network(nn.Module):
    """A binary convolution; the loss is given with the logits, as transformers wants it."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Conv2d(1, 4, 3), BinaryConv2d(4, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, pixels, labels):
        logits = self.net(pixels)
        return {"loss": functional.cross_entropy(logits, labels), "logits": logits}


def images():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(IMAGES, 1, 8, 8, generator=generator), torch.randint(0, 8, (IMAGES,), generator=generator)


def watched_sgd(model, history):
    """An optimizer after whose every step `history` gets the binary weights."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9, weight_decay=0.01)
    weight = model.net[1].weight
    history.append(weight.detach().numpy().copy())
    optimizer.register_step_post_hook(lambda *_: history.append(weight.detach().numpy().copy()))
    return optimizer


def with_accelerate(out, epochs, resume):
    """Train in a loop of its own with what accelerate has prepared; the weights before and after every update."""
    from accelerate import Accelerator

    accelerator, network, history = Accelerator(cpu=True), Network(), []
    optimizer = watched_sgd(network, history)
    data = torch.utils.data.DataLoader(TensorDataset(*images()), batch_size=BATCH)
    network, optimizer, data = accelerator.prepare(network, optimizer, data)
    if resume:
        accelerator.load_state(out / "saved")
    update = ra.open_run(out / "run").windows[-1].last_update if resume else None
    with ra.record(network, optimizer, out / "run", resume=update) as recorder:
        for epoch in range(epochs - 1 if resume else 0, epochs):
            for batch in data:
                accelerator.backward(network(*batch)["loss"])
                optimizer.step()
                optimizer.zero_grad()
            recorder.mark(epoch=epoch)
    accelerator.save_state(out / "saved")
    rank = accelerator.process_index
    accelerator.wait_for_everyone()  # end_training closes the connections at once, while the other still writes
    accelerator.end_training()
    return rank, history


def with_lightning(out, epochs, resume):
    """Train with a Lightning Trainer; the weights before and after every update."""
    from lightning.pytorch import LightningModule, Trainer
    from lightning.pytorch.callbacks import ModelCheckpoint

    from recu_analysis.integrations.lightning import RecordLatentWeights

    history = []

    class Module(LightningModule):
        def __init__(self):
            super().__init__()
            self.network = Network()

        def training_step(self, batch, index):
            loss = self.network(*batch)["loss"]
            self.log("train_loss", loss, on_epoch=True, on_step=False, sync_dist=True)
            return loss

        def configure_optimizers(self):
            return watched_sgd(self.network, history)

    saving = ModelCheckpoint(out, filename="saved")
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    ranks = {"accelerator": "cpu", "devices": RANKS, "strategy": "ddp"}
    recording = RecordLatentWeights(out / "run")
    trainer = Trainer(callbacks=[recording, saving], max_epochs=epochs, default_root_dir=out, **quiet, **ranks)
    data = torch.utils.data.DataLoader(TensorDataset(*images()), batch_size=BATCH)
    trainer.fit(Module(), data, ckpt_path=out / "saved.ckpt" if resume else None)
    return trainer.global_rank, history


def with_transformers(out, epochs, resume):
    """Train with a transformers Trainer; the weights before and after every update."""
    from transformers import Trainer, TrainingArguments

    from recu_analysis.integrations.transformers import RecordLatentWeights

    options = {"report_to": [], "disable_tqdm": True, "use_cpu": True, "max_grad_norm": 0.0, "save_strategy": "epoch"}
    sizes = {"per_device_train_batch_size": BATCH, "num_train_epochs": epochs, "logging_strategy": "epoch"}
    arguments = TrainingArguments(str(out / "saved"), **options, **sizes)
    model, history = Network(), []
    optimizer = watched_sgd(model, history)
    schedule = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    rows = [{"pixels": image, "labels": label} for image, label in zip(*images(), strict=True)]
    recording = RecordLatentWeights(out / "run")
    trainer = Trainer(model, arguments, train_dataset=rows, callbacks=[recording], optimizers=(optimizer, schedule))
    trainer.train(resume_from_checkpoint=resume)
    return arguments.process_index, history


if __name__ == "__main__":  # two_ranks.py LIBRARY FOLDER EPOCHS anew|resume
    torch.set_num_threads(1)
    library, folder, epochs, resume = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "resume"
    train = {"accelerate": with_accelerate, "lightning": with_lightning, "transformers": with_transformers}[library]
    rank, history = train(folder, epochs, resume)
    np.save(folder / f"{epochs}-{rank}.npy", np.stack(history))
