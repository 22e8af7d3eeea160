"""An ensemble of ELR: networks side by side, each blind to a fold, and a choice among settings without clean labels."""

from elr.methods.ensemble.ensemble import Ensemble as Ensemble
from elr.methods.ensemble.ensemble import EnsembleConfig as EnsembleConfig
from elr.methods.ensemble.settings import Setting as Setting
