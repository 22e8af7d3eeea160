"""What ELR+ adds to ELR, an ingredient a file: weight averaging, mixup, and the posterior between generations."""

from elr.methods.ingredients.averaging import averaged_weights as averaged_weights
from elr.methods.ingredients.mixup import Mixing as Mixing
from elr.methods.ingredients.mixup import draw_mixing as draw_mixing
from elr.methods.ingredients.posterior import TransitionCounts as TransitionCounts
from elr.methods.ingredients.posterior import label_posterior as label_posterior
