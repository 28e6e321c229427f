"""What a trained run does: acting step by step, and evaluations with everything that is written of them."""
