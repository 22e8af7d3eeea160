"""What a run says of itself where models are shared: README.md in the form of the Hugging Face hub."""

from elr.runs.model_card.card import write_card as write_card
