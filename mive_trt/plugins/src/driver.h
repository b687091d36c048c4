// The CUDA driver, found when a kernel is first needed: engines are built on machines that have none.
#pragma once

#include "cuda_abi.h"

namespace mive {

struct Driver {
  CUresult (*get_error_string)(CUresult error, const char** text);
  CUresult (*get_current)(CUcontext* context);
  CUresult (*push_current)(CUcontext context);
  CUresult (*pop_current)(CUcontext* context);
  CUresult (*get_device)(CUdevice* device);
  CUresult (*get_attribute)(int* value, int attribute, CUdevice device);
  CUresult (*load_module)(CUmodule* module, const void* image);
  CUresult (*unload_module)(CUmodule module);
  CUresult (*get_function)(CUfunction* function, CUmodule module, const char* name);
  CUresult (*set_attribute)(CUfunction function, int attribute, int value);
  CUresult (*launch)(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                     unsigned block_y, unsigned block_z, unsigned shared, CUstream stream, void** parameters,
                     void** extra);

  // Throws Failure where there is none.
  static const Driver& get();

  // Throws Failure, saying what was tried, unless `result` is success.
  void check(CUresult result, const char* what) const;

  CUcontext current_context() const;

  // The current context's, 89 for compute capability 8.9.
  int current_capability() const;
};

}  // namespace mive
