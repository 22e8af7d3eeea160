"""An ensemble of ELR: networks side by side, each blind to a fold of the rows, and a choice among settings."""

from elr.methods.ensemble.ensemble import Ensemble as Ensemble
from elr.methods.ensemble.settings import EnsembleConfig as EnsembleConfig
from elr.methods.ensemble.settings import Setting as Setting
