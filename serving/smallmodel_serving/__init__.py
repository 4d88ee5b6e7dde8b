"""What runs inside Ray. Shares only `smallmodel_operator.api.serving` with the operator."""
