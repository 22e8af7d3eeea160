"""Architectures, networks in plain values, and networks that others have trained."""

from elr.networks.architectures import MLP, FastConvNet, Linear, PreActResNet18, resnet18, resnet34
from elr.networks.backbones import DEFAULT_BACKBONE, Backbone, build_timm, load_backbone, load_body, weights_at_hand
from elr.networks.sentence_encoders import embed_texts, encoder_probe
from elr.networks.spec import NETWORKS, Architecture, NetworkSpec

__all__ = [
    "DEFAULT_BACKBONE",
    "MLP",
    "NETWORKS",
    "Architecture",
    "Backbone",
    "FastConvNet",
    "Linear",
    "NetworkSpec",
    "PreActResNet18",
    "build_timm",
    "embed_texts",
    "encoder_probe",
    "load_backbone",
    "load_body",
    "resnet18",
    "resnet34",
    "weights_at_hand",
]
