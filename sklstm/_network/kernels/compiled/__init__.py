"""Kernels that LLVM compiles, and that later processes load from disk.

``compiled_kernels`` is what other packages import; it calls compiled functions by way of
``loading``. That module loads object code from the ``disk_cache`` or, if there is none, calls
``compiling``, which compiles the functions of ``recurrence``, ``backward_pass`` and
``single_step``. ``translation`` turns these from Python to LLVM instructions. They are written with
the help of ``panels`` (weights in the order in which products read them), ``intrinsics`` (products
and steps of vectors) and ``vectors`` (arithmetic, sigmoid and tanh of vectors). ``cpu`` has the
sizes that depend on the processor.
"""
