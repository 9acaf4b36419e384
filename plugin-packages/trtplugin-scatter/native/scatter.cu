// A copy of the data in which updates replace, or are combined with, what indices name: kernels.h, and each operator.
#include "scatter_elements.h"
#include "scatter_nd.h"

TRTREG_PLUGINS(ScatterND, ScatterElements)
