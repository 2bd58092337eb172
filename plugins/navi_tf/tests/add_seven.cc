// y = x + 7 as an operator of its own, through TensorFlow's C interface (whose headers compile in two seconds).
#include "tensorflow/c/kernels.h"
#include "tensorflow/c/ops.h"
#include "tensorflow/c/tf_tensor.h"

static void Compute(void*, TF_OpKernelContext* context) {
  TF_Status* status = TF_NewStatus();
  TF_Tensor* x = nullptr;
  TF_GetInput(context, 0, &x, status);
  int64_t dims[8];
  const int rank = TF_NumDims(x) < 8 ? TF_NumDims(x) : 8;
  for (int i = 0; i < rank; ++i) dims[i] = TF_Dim(x, i);
  TF_Tensor* y = TF_AllocateOutput(context, 0, TF_FLOAT, dims, rank, TF_TensorByteSize(x), status);
  const float* from = static_cast<const float*>(TF_TensorData(x));
  float* to = static_cast<float*>(TF_TensorData(y));
  for (int64_t i = 0; i < TF_TensorElementCount(x); ++i) to[i] = from[i] + 7;
  TF_DeleteTensor(x);
  TF_DeleteTensor(y);
  TF_DeleteStatus(status);
}

static void Shape(TF_ShapeInferenceContext* context, TF_Status* status) {
  TF_ShapeInferenceContextSetUnknownShape(context, status);
}

extern "C" __attribute__((constructor)) void Register() {
  TF_Status* status = TF_NewStatus();
  TF_OpDefinitionBuilder* op = TF_NewOpDefinitionBuilder("NaviAddSeven");
  TF_OpDefinitionBuilderAddInput(op, "x: float");
  TF_OpDefinitionBuilderAddOutput(op, "y: float");
  TF_OpDefinitionBuilderSetShapeInferenceFunction(op, &Shape);
  TF_RegisterOpDefinition(op, status);
  TF_KernelBuilder* kernel = TF_NewKernelBuilder("NaviAddSeven", "CPU", nullptr, &Compute, nullptr);
  TF_RegisterKernelBuilder("NaviAddSeven", kernel, status);
  TF_DeleteStatus(status);
}
