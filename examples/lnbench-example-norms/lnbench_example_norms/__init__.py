"""Two LayerNorms for lnbench. Importing this loads neither, so that each costs only who asks for it."""
