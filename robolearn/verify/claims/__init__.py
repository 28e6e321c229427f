"""What is claimed of a policy: for every observation of a box, and whatever noise or code is drawn."""
