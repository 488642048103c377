"""The gateway: a served model answers by a policy, to those who may ask, as often as their budgets grant."""
