"""The linear model of the paper's first half, its theorem, and figures."""

from elr.theory.clusters import Clusters as Clusters
from elr.theory.clusters import is_separable as is_separable
from elr.theory.clusters import make_clusters as make_clusters
from elr.theory.descent import Trajectory as Trajectory
from elr.theory.descent import descend as descend
from elr.theory.theorem import Examination as Examination
from elr.theory.theorem import Statement as Statement
from elr.theory.theorem import check_theorem as check_theorem
from elr.theory.theorem import examine as examine
