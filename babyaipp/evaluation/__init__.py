"""How agents are measured: the protocol, its episodes, and the scores that follow from them."""
