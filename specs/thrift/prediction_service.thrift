/**
 * Prediction requests. Navi takes a BatchPredictionRequest as a bare struct (no message header, no
 * framing) in each string of a DT_STRING tensor; the service itself is another server's.
 */
namespace py navi_dr_transform._generated.prediction_service

include "data.thrift"

struct PredictionRequest {
  1: required data.DataRecord features
}

struct PredictionResponse {
  1: required data.DataRecord prediction
}

/** One record a candidate; what is common to all of them is written once. */
struct BatchPredictionRequest {
  1: required list<data.DataRecord> individualFeaturesList,
  2: optional data.DataRecord commonFeatures
}

struct BatchPredictionResponse {
  1: required list<data.DataRecord> predictions
}

struct DataRecordPair {
  1: optional data.DataRecord first,
  2: optional data.DataRecord second
}

struct PredictionTrainingExample {
  1: optional data.DataRecord features,
  2: optional DataRecordPair featuresForPairwiseLearning,
  3: optional data.CompactDataRecord compactFeatures,
  4: optional binary compressedDataRecord
}

exception PredictionServiceException {
  1: string description = ""
}

service PredictionService {
  PredictionResponse getPrediction(1: PredictionRequest request)
      throws (1: PredictionServiceException predictionServiceException),
  BatchPredictionResponse getBatchPrediction(1: BatchPredictionRequest batchRequest)
      throws (1: PredictionServiceException predictionServiceException)
}
