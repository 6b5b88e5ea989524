"""Array aliases and the letters that name axes.

Axes, always lower case and indexed from the right:

    b clips (`*b`: any leading axes)   t frames   h height   w width   c channels
    d features   k classes   f folds   n samples

A clip is `"*b t h w c"`; a whole face is 128 by 128 pixels, and each half of it is
64 high and 128 wide (the paper writes 128x64, width first).
"""

from jaxtyping import Array, Bool, Float, Int, Key

Logits = Float[Array, "*b k"]
Labels = Int[Array, "*b"]
PerClip = Float[Array, "*b"]
Mask = Bool[Array, "*b"]
PRNGKey = Key[Array, "*_b"]
