// Non-maximum suppression: sort.h, select.h and an operator of each family.
#include "batched_nms.h"
#include "non_max_suppression.h"

TRTREG_PLUGINS(nms::NonMaxSuppression, nms::BatchedNMS, nms::BatchedNmsTrt, nms::BatchedNmsDynamicTrt,
               nms::TRTBatchedNMS)
