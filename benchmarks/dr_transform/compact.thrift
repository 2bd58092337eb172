/** A BatchPredictionRequest of CompactDataRecords: for the baselines, which need generated classes of it. */

include "data.thrift"

namespace cpp compact

struct CompactBatchPredictionRequest {
  1: required list<data.CompactDataRecord> individualFeaturesList,
  2: optional data.CompactDataRecord commonFeatures
}
