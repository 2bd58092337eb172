// The baseline: Apache Thrift's generated classes and Navi's scatter (a hash map id -> column, rows of defaults,
// common features written to every row, then each record's own), as dr_transform's converter.rs does it.
//
// Built by baseline_cpp.py, called through ctypes. Like navi it checks every column against its tensor's width.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <unordered_map>
#include <vector>

#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/transport/TBufferTransports.h>

#include "compact_types.h"
#include "compact_types.tcc"
#include "data_types.tcc"
#include "prediction_service_types.h"
#include "prediction_service_types.tcc"
#include "tensor_types.tcc"

using apache::thrift::protocol::TBinaryProtocol;
using apache::thrift::protocol::TBinaryProtocolT;
using apache::thrift::protocol::TProtocol;
using apache::thrift::transport::TMemoryBuffer;

namespace {

struct Place {
  int32_t kind;
  int32_t column;
};

struct Layout {
  std::unordered_map<int64_t, Place> places;
  int64_t embedding_ids[3];
  int64_t widths[6];
};

struct Rows {
  float* continuous;
  int64_t* binary;
  int64_t* discrete;
  float* embeddings[3];
};

inline float as_float(double value) { return static_cast<float>(value); }
inline float as_float(int32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

template <class Record>
void lay(const Layout& layout, const Record& record, const Rows& rows, int64_t begin, int64_t end) {
  const int64_t* widths = layout.widths;
  if (record.__isset.continuousFeatures) {
    for (const auto& feature : record.continuousFeatures) {
      auto found = layout.places.find(feature.first);
      if (found == layout.places.end() || found->second.kind != 0 || found->second.column >= widths[0]) continue;
      const float value = as_float(feature.second);
      for (int64_t row = begin; row < end; ++row) rows.continuous[row * widths[0] + found->second.column] = value;
    }
  }
  if (record.__isset.binaryFeatures) {
    for (const auto& feature : record.binaryFeatures) {
      auto found = layout.places.find(feature);
      if (found == layout.places.end() || found->second.kind != 1 || found->second.column >= widths[1]) continue;
      for (int64_t row = begin; row < end; ++row) rows.binary[row * widths[1] + found->second.column] = 1;
    }
  }
  if (record.__isset.discreteFeatures) {
    for (const auto& feature : record.discreteFeatures) {
      auto found = layout.places.find(feature.first);
      if (found == layout.places.end() || found->second.kind != 2 || found->second.column >= widths[2]) continue;
      for (int64_t row = begin; row < end; ++row)
        rows.discrete[row * widths[2] + found->second.column] = feature.second;
    }
  }
  if (record.__isset.tensors) {
    for (const auto& tensor : record.tensors) {
      for (int index = 0; index < 3; ++index) {
        if (tensor.first != layout.embedding_ids[index]) continue;
        const int64_t width = widths[3 + index];
        for (int64_t row = begin; row < end; ++row) {
          float* out = rows.embeddings[index] + row * width;
          if (tensor.second.__isset.floatTensor) {
            const auto& floats = tensor.second.floatTensor.floats;
            for (int64_t column = 0; column < width && column < int64_t(floats.size()); ++column)
              out[column] = static_cast<float>(floats[column]);
          } else if (tensor.second.__isset.rawTypedTensor) {
            const auto& content = tensor.second.rawTypedTensor.content;
            std::memcpy(out, content.data(), std::min<size_t>(content.size(), 4 * width));
          }
        }
      }
    }
  }
}

template <class Request>
int64_t scatter(const Layout& layout, const Request& request, const Rows& rows) {
  const int64_t count = request.individualFeaturesList.size();
  const int64_t* widths = layout.widths;
  std::fill_n(rows.continuous, count * widths[0], std::nanf(""));
  std::fill_n(rows.binary, count * widths[1], 0);
  std::fill_n(rows.discrete, count * widths[2], 0);
  for (int index = 0; index < 3; ++index) std::fill_n(rows.embeddings[index], count * widths[3 + index], 0.0f);
  if (request.__isset.commonFeatures) lay(layout, request.commonFeatures, rows, 0, count);
  for (int64_t row = 0; row < count; ++row) lay(layout, request.individualFeaturesList[row], rows, row, row + 1);
  return count;
}

template <class Request, bool kTemplates>
int64_t convert(const Layout& layout, uint8_t* payload, uint32_t size, const Rows& rows) {
  auto buffer = std::make_shared<TMemoryBuffer>(payload, size, TMemoryBuffer::OBSERVE);
  Request request;
  if (kTemplates) {
    TBinaryProtocolT<TMemoryBuffer> protocol(buffer);
    request.read(&protocol);
  } else {
    TBinaryProtocol protocol(buffer);
    request.read(static_cast<TProtocol*>(&protocol));
  }
  return scatter(layout, request, rows);
}

}  // namespace

extern "C" {

void* baseline_open(int64_t count, const int64_t* ids, const int32_t* kinds, const int32_t* columns,
                    const int64_t* embedding_ids, const int64_t* widths) {
  auto* layout = new Layout;
  layout->places.reserve(count);
  for (int64_t index = 0; index < count; ++index) layout->places[ids[index]] = Place{kinds[index], columns[index]};
  std::copy_n(embedding_ids, 3, layout->embedding_ids);
  std::copy_n(widths, 6, layout->widths);
  return layout;  // lives as long as the process
}

// Answers the number of rows, or -1 for what cannot be read.
int64_t baseline_convert(void* opaque, const uint8_t* payload, uint32_t size, int compact, int templates,
                         void* const* out) {
  const Layout& layout = *static_cast<Layout*>(opaque);
  const Rows rows{static_cast<float*>(out[0]),
                  static_cast<int64_t*>(out[1]),
                  static_cast<int64_t*>(out[2]),
                  {static_cast<float*>(out[3]), static_cast<float*>(out[4]), static_cast<float*>(out[5])}};
  auto* bytes = const_cast<uint8_t*>(payload);
  try {
    if (compact) {
      using Request = ::compact::CompactBatchPredictionRequest;
      return templates ? convert<Request, true>(layout, bytes, size, rows)
                       : convert<Request, false>(layout, bytes, size, rows);
    }
    using Request = BatchPredictionRequest;
    return templates ? convert<Request, true>(layout, bytes, size, rows)
                     : convert<Request, false>(layout, bytes, size, rows);
  } catch (const std::exception&) {
    return -1;
  }
}

}  // extern "C"
