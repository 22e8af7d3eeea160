"""Models of label noise, to experiment with."""

from elr.noise.models import CIFAR10_ASYMMETRIC as CIFAR10_ASYMMETRIC
from elr.noise.models import NoisyLabels as NoisyLabels
from elr.noise.models import consecutive_blocks as consecutive_blocks
from elr.noise.models import corrupt_asymmetric as corrupt_asymmetric
from elr.noise.models import corrupt_asymmetric_authors as corrupt_asymmetric_authors
from elr.noise.models import corrupt_instance_dependent as corrupt_instance_dependent
from elr.noise.models import corrupt_pairflip as corrupt_pairflip
from elr.noise.models import corrupt_symmetric as corrupt_symmetric
from elr.noise.models import corrupt_symmetric_authors as corrupt_symmetric_authors
from elr.noise.models import corrupt_transition as corrupt_transition
from elr.noise.named import NOISES as NOISES
from elr.noise.named import corrupt as corrupt
from elr.noise.superclasses import CIFAR100_CYCLES as CIFAR100_CYCLES
from elr.noise.superclasses import CIFAR100_SUPERCLASSES as CIFAR100_SUPERCLASSES
from elr.noise.transitions import count_transitions as count_transitions
from elr.noise.transitions import transition_matrix as transition_matrix
