"""The audit as a call: `elr.audit(labels, pred_probs)`."""
