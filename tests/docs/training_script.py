"""A small training script of the structure of the authors': options, DataParallel, SGD, cosine, tau, checkpoints."""

import argparse
import math
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

parser = argparse.ArgumentParser()
parser.add_argument("--results_dir", default="results")
parser.add_argument("--save", default="")
parser.add_argument("--resume", action="store_true")
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--start_epoch", type=int, default=-1)
parser.add_argument("--tau_min", type=float, default=0.85)
parser.add_argument("--tau_max", type=float, default=0.99)
args = parser.parse_args()


class Sign(torch.autograd.Function):
    """The sign, with the gradient passed through."""

    @staticmethod
    def forward(ctx, values):
        return torch.sign(values)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class BinarizeConv2d(nn.Conv2d):
    """ReCU's layer, whose tensors tell what it is."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.alpha = nn.Parameter(torch.rand(self.out_channels, 1, 1))
        self.register_buffer("tau", torch.tensor(0.85))

    def forward(self, values):
        centered = self.weight - self.weight.mean([1, 2, 3], keepdim=True)
        deviation = (centered.var([1, 2, 3], keepdim=True) + 1e-5).sqrt() / (2 * math.sqrt(2))
        scaled = centered / deviation
        bound = -scaled.detach().abs().mean() * torch.log(2 - 2 * self.tau)
        clamped = torch.minimum(torch.maximum(scaled, -bound), bound)
        return functional.conv2d(Sign.apply(values), Sign.apply(clamped), padding=self.padding) * self.alpha


class Network(nn.Module):
    """A real, two binary and another real layer."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.layer1 = nn.Sequential(*(BinarizeConv2d(8, 8, 3, padding=1, bias=False) for _ in range(2)))
        self.bn = nn.BatchNorm2d(8)
        self.linear = nn.Linear(8, 10)

    def forward(self, images):
        return self.linear(self.bn(self.layer1(self.conv1(images))).mean(dim=(2, 3)))


def passes(loader, model, optimizer=None):
    """Loss and accuracy over the data, after updates where there is an optimizer."""
    losses, right = [], []
    for images, target in loader:
        output = model(images)
        loss = functional.cross_entropy(output, target)
        if optimizer:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
        right.append((output.argmax(dim=1) == target).float().mean().item())
    return sum(losses) / len(losses), 100 * sum(right) / len(right)


def train(loader, model, optimizer):
    model.train()
    return passes(loader, model, optimizer)


def validate(loader, model):
    model.eval()
    with torch.no_grad():
        return passes(loader, model)


def main():
    save_path = Path(args.results_dir) / args.save
    save_path.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    model = nn.DataParallel(Network())
    digits = load_digits()
    images = torch.tensor(digits.images[:128] / 8 - 1, dtype=torch.float32).unsqueeze(1)
    data = torch.utils.data.TensorDataset(images, torch.tensor(digits.target[:128]))
    train_loader = torch.utils.data.DataLoader(data, batch_size=32, shuffle=True)
    val_loader = torch.utils.data.DataLoader(data, batch_size=64)
    checkpoint_file = save_path / "checkpoint.pth.tar"
    if args.resume:
        checkpoint = torch.load(checkpoint_file)
        args.start_epoch = checkpoint["epoch"] - 1
        model.module.load_state_dict(checkpoint["state_dict"])
    optimizer = torch.optim.SGD(
        [{"params": model.parameters(), "initial_lr": args.lr}], lr=args.lr, momentum=0.9, weight_decay=5e-4
    )
    lr_scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs, last_epoch=args.start_epoch)
    if args.resume:
        optimizer.load_state_dict(checkpoint["optimizer"])
        lr_scheduler.load_state_dict(checkpoint["lr_scheduler"])

    for epoch in range(args.start_epoch + 1, args.epochs):
        rise = (math.exp(epoch / args.epochs) - 1) / (math.e - 1)
        for module in model.modules():
            if isinstance(module, BinarizeConv2d):
                module.tau = torch.tensor([args.tau_min + (args.tau_max - args.tau_min) * rise])
        train_loss, train_prec1 = train(train_loader, model, optimizer)
        lr_scheduler.step()
        val_loss, val_prec1 = validate(val_loader, model)
        saved = {"epoch": epoch + 1, "state_dict": model.module.state_dict()}
        saved |= {"optimizer": optimizer.state_dict(), "lr_scheduler": lr_scheduler.state_dict()}
        torch.save(saved, checkpoint_file)
    print(f"{train_loss:.3f} {train_prec1:.1f} {val_loss:.3f} {val_prec1:.1f}")


if __name__ == "__main__":
    main()
