// What stands between the matrix products of a backward pass, behind kernels.cu: each goes over memory once, sums in f32.

// The gradient of a norm's input from that of its result; a block per row, 8 values per thread. `centred` is a layer norm, else an RMS
// norm. Into `product`, where it is wanted, what the weight's gradient is the sum of: gradient times normed value.
extern "C" __global__ void norm_backward(const u16 *x, const u16 *weight, const u16 *gradient, u16 *out, u16 *product, u32 columns,
                                         float eps, int centred) {
  __shared__ float shared[33];
  u64 row = (u64)blockIdx.x * columns;
  u32 column = threadIdx.x * 8;
  bool here = column < columns;
  Eight a, g;
  for (int i = 0; i < 8; ++i) a.v[i] = 0.f, g.v[i] = 0.f;
  if (here) {
    a = load(x + row + column);
    g = load(gradient + row + column);
  }
  if (centred) {
    float part = 0.f;
    for (int i = 0; i < 8; ++i) part += a.v[i];
    float mean = sum_of_block(part, shared) / columns;
    if (here)
      for (int i = 0; i < 8; ++i) a.v[i] -= mean;
  }
  float part = 0.f;
  for (int i = 0; i < 8; ++i) part += a.v[i] * a.v[i];
  float scale = rsqrtf(sum_of_block(part, shared) / columns + eps);
  for (int i = 0; i < 8; ++i) a.v[i] *= scale;
  if (here && product) {
    Eight p;
    for (int i = 0; i < 8; ++i) p.v[i] = g.v[i] * a.v[i];
    store(product + row + column, p);
  }
  if (here) {
    Eight w = load(weight + column);
    for (int i = 0; i < 8; ++i) g.v[i] *= w.v[i];
  }
  float along = 0.f, across = 0.f;
  for (int i = 0; i < 8; ++i) {
    along += g.v[i] * a.v[i];
    across += g.v[i];
  }
  along = sum_of_block(along, shared) / columns;
  across = centred ? sum_of_block(across, shared) / columns : 0.f;
  if (!here) return;
  for (int i = 0; i < 8; ++i) a.v[i] = scale * (g.v[i] - across - a.v[i] * along);
  store(out + row + column, a);
}

// Gradients of gate and up from that of silu(gate) * up.
extern "C" __global__ void gated_silu_backward(const u16 *gate, const u16 *up, const u16 *gradient, u16 *gate_out, u16 *up_out, u64 count) {
  u64 at = (u64)blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= count) return;
  Eight a = load(gate + at * 8), b = load(up + at * 8), g = load(gradient + at * 8);
  for (int i = 0; i < 8; ++i) {
    float open = 1.f / (1.f + __expf(-a.v[i])), active = a.v[i] * open;
    a.v[i] = g.v[i] * b.v[i] * (open + active * (1.f - open));
    b.v[i] = g.v[i] * active;
  }
  store(gate_out + at * 8, a);
  store(up_out + at * 8, b);
}

// The gradient of x from that of gelu(x) by tanh: x * s with s = sigmoid(2 u), u = r (x + 0.044715 x^3).
extern "C" __global__ void gelu_tanh_backward(const u16 *x, const u16 *gradient, u16 *out, u64 count) {
  u64 at = (u64)blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= count) return;
  Eight a = load(x + at * 8), g = load(gradient + at * 8);
  for (int i = 0; i < 8; ++i) {
    float v = a.v[i], square = v * v;
    float s = 1.f / (1.f + __expf(-1.5957691216f * v * (1.f + 0.044715f * square)));
    // Far out, an infinite square meets a vanishing slope.
    float bend = s * (1.f - s);
    float steep = bend > 0.f ? v * bend * 1.5957691216f * (1.f + 0.134145f * square) : 0.f;
    a.v[i] = g.v[i] * (s + steep);
  }
  store(out + at * 8, a);
}

// Softmax of scores, lines of `keys` values; with `causal`, line n sees the first n % tokens + 1 of them, and 0 is written elsewhere.
// A block per line.
extern "C" __global__ void softmax_of_lines(const u16 *scores, u16 *out, u32 tokens, u32 keys, int causal) {
  __shared__ float shared[33];
  const u16 *from = scores + (u64)blockIdx.x * keys;
  u16 *to = out + (u64)blockIdx.x * keys;
  u32 seen = causal ? blockIdx.x % tokens + 1 : keys;
  float top = __uint_as_float(0xff800000u);
  for (u32 key = threadIdx.x; key < seen; key += blockDim.x) top = fmaxf(top, wide(from[key]));
  for (int step = 16; step > 0; step >>= 1) top = fmaxf(top, __shfl_xor_sync(FULL, top, step));
  if ((threadIdx.x & 31) == 0) shared[threadIdx.x >> 5] = top;
  __syncthreads();
  for (u32 warp = 0; warp < (blockDim.x >> 5); ++warp) top = fmaxf(top, shared[warp]);
  float part = 0.f;
  for (u32 key = threadIdx.x; key < seen; key += blockDim.x) part += __expf(wide(from[key]) - top);
  float share = 1.f / sum_of_block(part, shared);
  for (u32 key = threadIdx.x; key < keys; key += blockDim.x)
    to[key] = key < seen ? (u16)narrow(__expf(wide(from[key]) - top) * share) : (u16)0;
}
