"""One run from data to folder, in one call: fit, published experiments, tuning, predictions."""

from elr.runs.fit_config import FitConfig as FitConfig
from elr.runs.plan import Plan as Plan
from elr.runs.recipe import Changes as Changes
from elr.runs.recipe import Recipe as Recipe
from elr.runs.run import Fitted as Fitted
from elr.runs.run import run_plan as run_plan
