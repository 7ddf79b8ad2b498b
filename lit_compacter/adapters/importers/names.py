"""Names of tensors that AdapterHub has taken over from the paper's code → ours."""

PHM = {
    "W_left": "s",
    "W_right": "t",
    "W": "weight",
    "b": "bias",
    "phm_rule": "phm_rule.weight",
    "phm_rule_left": "phm_rule.left",
    "phm_rule_right": "phm_rule.right",
}
LOW_RANK = {"W_left": "left", "W_right": "right", "b": "bias"}
PLAIN = {"weight": "weight", "bias": "bias"}
