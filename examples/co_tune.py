"""Co-Tuning in a training loop of your own: a folder of images, a model of timm, no pipeline.

python examples/co_tune.py photos --model resnet50.a1_in1k
python examples/co_tune.py photos --model resnet50.a1_in1k --loop timm
"""

import argparse

import timm
import torch
from timm.data import create_transform, resolve_data_config
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import ImageFolder

from cotuning import CoTuningModel, co_tuning_loss, fit_relationship

parser = argparse.ArgumentParser()
parser.add_argument("folder", help="a folder a class")
parser.add_argument("--model", default="resnet50.a1_in1k")
parser.add_argument("--random-weights", action="store_true", help="download nothing")
parser.add_argument("--loop", choices=["bare", "timm"], default="bare")
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--source-weight", type=float, default=2.3)
given = parser.parse_args()

torch.manual_seed(0)
backbone = timm.create_model(given.model, pretrained=not given.random_weights)
config = resolve_data_config(model=backbone)
plain = ImageFolder(given.folder, create_transform(**config))
augmented = ImageFolder(given.folder, create_transform(**config, is_training=True))
validation = list(range(0, len(plain), 5))  # files are sorted by class: a fifth of each
train = sorted(set(range(len(plain))) - set(validation))
labels = torch.tensor(plain.targets)

with torch.inference_mode():  # what the source model says of the images, before any training
    batches = DataLoader(plain, batch_size=64)
    logits = torch.cat([backbone.eval()(images) for images, _ in batches])
relationship, _ = fit_relationship(
    *(logits[train], labels[train], logits[validation], labels[validation]),
    target_classes=len(plain.classes),
)

source_head = backbone.get_classifier()
backbone.reset_classifier(0)
model = CoTuningModel(backbone, source_head, backbone.num_features, len(plain.classes))
loader = DataLoader(Subset(augmented, train), batch_size=24, shuffle=True)
if given.loop == "bare":
    groups = model.parameter_groups(learning_rate=0.003)
    optimizer = torch.optim.SGD(groups, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, given.epochs)
else:
    groups = model.parameter_groups(learning_rate=1e-4)
    optimizer = create_optimizer_v2(groups, opt="adamw", weight_decay=0.05)
    schedule = CosineLRScheduler(optimizer, given.epochs)
for epoch in range(given.epochs):
    model.train()
    for images, targets in loader:
        outputs = model(images)
        loss = co_tuning_loss(
            *(outputs.target_logits, outputs.source_logits, targets),
            *(relationship.float(), given.source_weight),
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    schedule.step() if given.loop == "bare" else schedule.step(epoch + 1)

network = model.deploy().eval()  # images to target logits, without the source head
with torch.inference_mode():
    batches = DataLoader(Subset(plain, validation), batch_size=64)
    right = sum(int((network(images).argmax(1) == known).sum()) for images, known in batches)
print(f"validation accuracy: {right / len(validation):.1%}, last loss {loss.item():.3f}")
