// What stands between the matrix products of a forward pass, in bf16 with sums in f32: each kernel goes over memory once.
// Compiled when a device is first used. No headers, so that none have to be there.

typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define FULL 0xffffffffu

static __device__ __forceinline__ float low(u32 pair) { return __uint_as_float(pair << 16); }
static __device__ __forceinline__ float high(u32 pair) { return __uint_as_float(pair & 0xffff0000u); }
static __device__ __forceinline__ float wide(u16 x) { return __uint_as_float(((u32)x) << 16); }

// To the nearest bf16, ties to even; what is no number stays none.
static __device__ __forceinline__ u32 narrow(float x) {
  u32 bits = __float_as_uint(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fc0u;
  return (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}

static __device__ __forceinline__ u32 pack(float a, float b) { return narrow(a) | (narrow(b) << 16); }

struct Eight {
  float v[8];
};

static __device__ __forceinline__ Eight load(const u16 *at) {
  uint4 raw = *(const uint4 *)at;
  Eight x;
  x.v[0] = low(raw.x), x.v[1] = high(raw.x), x.v[2] = low(raw.y), x.v[3] = high(raw.y);
  x.v[4] = low(raw.z), x.v[5] = high(raw.z), x.v[6] = low(raw.w), x.v[7] = high(raw.w);
  return x;
}

static __device__ __forceinline__ void store(u16 *at, const Eight &x) {
  uint4 raw;
  raw.x = pack(x.v[0], x.v[1]), raw.y = pack(x.v[2], x.v[3]);
  raw.z = pack(x.v[4], x.v[5]), raw.w = pack(x.v[6], x.v[7]);
  *(uint4 *)at = raw;
}

// 0 nothing, 1 silu, 2 x * sigmoid(1.702 x), 3 gelu by tanh, 4 gelu by erf
static __device__ __forceinline__ float activate(float x, int which) {
  if (which == 1) return x / (1.f + __expf(-x));
  if (which == 2) return x / (1.f + __expf(-1.702f * x));
  if (which == 3) return x / (1.f + __expf(-1.5957691216f * (x + 0.044715f * x * x * x)));
  if (which == 4) return 0.5f * x * (1.f + erff(x * 0.70710678118f));
  return x;
}

static __device__ __forceinline__ float sum_of_warp(float x) {
  for (int step = 16; step > 0; step >>= 1) x += __shfl_xor_sync(FULL, x, step);
  return x;
}

// The same sum in every thread of the block, a whole number of warps; `shared` has room for 33.
static __device__ __forceinline__ float sum_of_block(float x, float *shared) {
  x = sum_of_warp(x);
  int warps = blockDim.x >> 5;
  __syncthreads();
  if ((threadIdx.x & 31) == 0) shared[threadIdx.x >> 5] = x;
  __syncthreads();
  float all = 0.f;
  for (int warp = 0; warp < warps; ++warp) all += shared[warp];
  return all;
}

// out = activate(x + bias) over rows of `eighths` times 8 values.
extern "C" __global__ void bias_activate(const u16 *x, const u16 *bias, u16 *out, u64 count, u32 eighths, int which) {
  u64 at = (u64)blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= count) return;
  Eight a = load(x + at * 8);
  if (bias) {
    Eight b = load(bias + (at % eighths) * 8);
    for (int i = 0; i < 8; ++i) a.v[i] += b.v[i];
  }
  for (int i = 0; i < 8; ++i) a.v[i] = activate(a.v[i], which);
  store(out + at * 8, a);
}

// out = activate(gate) * up
extern "C" __global__ void gated(const u16 *gate, const u16 *up, u16 *out, u64 count, int which) {
  u64 at = (u64)blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= count) return;
  Eight a = load(gate + at * 8), b = load(up + at * 8);
  for (int i = 0; i < 8; ++i) a.v[i] = activate(a.v[i], which) * b.v[i];
  store(out + at * 8, a);
}

// sum = x + change + change_bias, and its norm; a block per row, 8 values per thread. Without a change there is no sum;
// with a norm bias it is a layer norm, else an RMS norm.
extern "C" __global__ void add_norm(const u16 *x, const u16 *change, const u16 *change_bias, const u16 *weight, const u16 *bias, u16 *sum,
                                    u16 *out, u32 columns, float eps) {
  __shared__ float shared[33];
  u64 row = (u64)blockIdx.x * columns;
  u32 column = threadIdx.x * 8;
  bool here = column < columns;
  Eight a;
  for (int i = 0; i < 8; ++i) a.v[i] = 0.f;
  if (here) {
    a = load(x + row + column);
    if (change) {
      Eight b = load(change + row + column);
      if (change_bias) {
        Eight c = load(change_bias + column);
        for (int i = 0; i < 8; ++i) b.v[i] += c.v[i];
      }
      for (int i = 0; i < 8; ++i) a.v[i] = wide((u16)narrow(a.v[i] + b.v[i]));
      store(sum + row + column, a);
    }
  }
  float mean = 0.f;
  if (bias) {
    float part = 0.f;
    for (int i = 0; i < 8; ++i) part += a.v[i];
    mean = sum_of_block(part, shared) / columns;
  }
  float part = 0.f;
  if (here)
    for (int i = 0; i < 8; ++i) part += (a.v[i] - mean) * (a.v[i] - mean);
  float scale = rsqrtf(sum_of_block(part, shared) / columns + eps);
  if (!here) return;
  Eight w = load(weight + column);
  for (int i = 0; i < 8; ++i) a.v[i] = (a.v[i] - mean) * scale * w.v[i];
  if (bias) {
    Eight b = load(bias + column);
    for (int i = 0; i < 8; ++i) a.v[i] += b.v[i];
  }
  store(out + row + column, a);
}

// Rows of queries, keys and values [rows, 3, heads, width] plus a bias; queries and keys turned by the angles of row % patches.
// A thread takes 8 values of a head's first half and those at the same places of its second.
extern "C" __global__ void tower_heads(const u16 *x, const u16 *bias, const float *cos, const float *sin, u16 *out, u64 count, u32 heads,
                                       u32 half, u32 patches) {
  u64 at = (u64)blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= count) return;
  u32 chunks = half / 8;
  u32 chunk = at % chunks;
  u64 rest = at / chunks;
  u32 head = rest % (3 * heads);
  u64 row = rest / (3 * heads);
  u32 column = head * 2 * half + chunk * 8;
  u64 first = row * (3 * heads * 2 * half) + column, second = first + half;
  Eight a = load(x + first), b = load(x + second);
  if (bias) {
    Eight c = load(bias + column), d = load(bias + column + half);
    for (int i = 0; i < 8; ++i) a.v[i] += c.v[i], b.v[i] += d.v[i];
  }
  if (head < 2 * heads) {
    u64 angle = (row % patches) * half + chunk * 8;
    for (int i = 0; i < 8; ++i) {
      float c = cos[angle + i], s = sin[angle + i], p = a.v[i], q = b.v[i];
      a.v[i] = p * c - q * s;
      b.v[i] = q * c + p * s;
    }
  }
  store(out + first, a);
  store(out + second, b);
}

// Cosines and sines [tokens, half] of the positions [tokens, 3]; `axes` says which of the three turns a frequency.
extern "C" __global__ void angles(const u32 *positions, const float *frequencies, const u32 *axes, float *cos, float *sin, u32 count,
                                  u32 half) {
  u32 at = blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= count) return;
  u32 token = at / half, i = at % half;
  float s, c;
  sincosf((float)positions[token * 3 + axes[i]] * frequencies[i], &s, &c);
  cos[at] = c;
  sin[at] = s;
}

// Heads of queries, keys and values [tokens, heads * width] each: normed (queries and keys, where there are weights), turned
// (queries and keys), and written: queries as [rows, tokens, heads, width] or, with `head_major`, [rows, heads, tokens, width];
// keys and values into their places of a cache [rows, kv heads, capacity, width]. A warp takes a head of a token.
extern "C" __global__ void text_heads(const u16 *queries, const u16 *keys, const u16 *values, const u16 *query_weight,
                                      const u16 *key_weight, const float *cos, const float *sin, u16 *query_out, u16 *key_out,
                                      u16 *value_out, u64 warps, u32 tokens, u32 heads, u32 kv_heads, u32 width, u32 capacity, u32 start,
                                      int head_major, float eps) {
  u64 warp = ((u64)blockIdx.x * blockDim.x + threadIdx.x) >> 5;
  if (warp >= warps) return;
  u32 lane = threadIdx.x & 31, half = width / 2;
  u32 all = heads + 2 * kv_heads;
  u32 head = warp % all;
  u64 place = warp / all;
  u32 row = place / tokens, token = place % tokens;
  const u16 *from;
  const u16 *weight = 0;
  u16 *to;
  bool turned = true;
  if (head < heads) {
    from = queries + (place * heads + head) * width;
    to = query_out + (head_major ? (((u64)row * heads + head) * tokens + token) * width : (place * heads + head) * width);
    weight = query_weight;
  } else {
    bool key = head < heads + kv_heads;
    u32 nth = head - heads - (key ? 0 : kv_heads);
    from = (key ? keys : values) + (place * kv_heads + nth) * width;
    to = (key ? key_out : value_out) + (((u64)row * kv_heads + nth) * capacity + start + token) * width;
    weight = key ? key_weight : 0;
    turned = key;
  }
  float scale = 1.f;
  if (weight) {
    float squares = 0.f;
    for (u32 i = lane * 2; i < width; i += 64) {
      u32 pair = *(const u32 *)(from + i);
      squares += low(pair) * low(pair) + high(pair) * high(pair);
    }
    scale = rsqrtf(sum_of_warp(squares) / width + eps);
  }
  for (u32 i = lane * 2; i < half; i += 64) {
    u32 pair = *(const u32 *)(from + i), other = *(const u32 *)(from + half + i);
    float a = low(pair), b = high(pair), c = low(other), d = high(other);
    if (weight) {
      u32 w = *(const u32 *)(weight + i), v = *(const u32 *)(weight + half + i);
      a *= scale * low(w), b *= scale * high(w), c *= scale * low(v), d *= scale * high(v);
    }
    if (turned) {
      float2 cosine = *(const float2 *)(cos + place * half + i), sine = *(const float2 *)(sin + place * half + i);
      float e = a * cosine.x - c * sine.x, f = b * cosine.y - d * sine.y;
      c = c * cosine.x + a * sine.x, d = d * cosine.y + b * sine.y;
      a = e, b = f;
    }
    *(u32 *)(to + i) = pack(a, b);
    *(u32 *)(to + half + i) = pack(c, d);
  }
}

// Softmax of scale * scores [rows, heads, tokens, keys], each token over the keys of its ranges; 0 elsewhere. The ranges of place p
// (row * tokens + token) are those from ends[p - 1] to ends[p], first key and key behind the last. A block per score row.
extern "C" __global__ void softmax_of_ranges(const u16 *scores, u16 *out, const u32 *ends, const uint2 *ranges, u32 heads, u32 tokens,
                                             u32 keys, float scale) {
  __shared__ float shared[33];
  u64 line = blockIdx.x;
  u32 token = line % tokens;
  u32 place = (line / tokens / heads) * tokens + token;
  u32 begin = place ? ends[place - 1] : 0, end = ends[place];
  const u16 *from = scores + line * keys;
  u16 *to = out + line * keys;
  float top = __uint_as_float(0xff800000u);
  for (u32 range = begin; range < end; ++range)
    for (u32 key = ranges[range].x + threadIdx.x; key < ranges[range].y; key += blockDim.x) top = fmaxf(top, wide(from[key]));
  for (int step = 16; step > 0; step >>= 1) top = fmaxf(top, __shfl_xor_sync(FULL, top, step));
  if ((threadIdx.x & 31) == 0) shared[threadIdx.x >> 5] = top;
  __syncthreads();
  for (u32 warp = 0; warp < (blockDim.x >> 5); ++warp) top = fmaxf(top, shared[warp]);
  float part = 0.f;
  for (u32 range = begin; range < end; ++range)
    for (u32 key = ranges[range].x + threadIdx.x; key < ranges[range].y; key += blockDim.x)
      part += __expf((wide(from[key]) - top) * scale);
  float sum = sum_of_block(part, shared);
  float share = sum > 0.f ? 1.f / sum : 0.f;
  u32 done = 0;
  for (u32 range = begin; range <= end; ++range) {
    u32 first = range < end ? ranges[range].x : keys, last = range < end ? ranges[range].y : keys;
    for (u32 key = done + threadIdx.x; key < first; key += blockDim.x) to[key] = 0;
    for (u32 key = first + threadIdx.x; key < last; key += blockDim.x)
      to[key] = (u16)narrow(__expf((wide(from[key]) - top) * scale) * share);
    done = last;
  }
}

// Rows of several caches laid out in one: for each job, `filled` slots of [heads, from_capacity, width] to [heads, capacity, width],
// the slots behind them up to `used` cleared. Jobs are (from, to, from_capacity, filled) in 64 bits each; blocks are
// (chunk of slots, head, job), 16 bytes per thread.
extern "C" __global__ void lay_out(const u64 *jobs, u32 used, u32 capacity, u32 eighths) {
  const u64 *job = jobs + (u64)blockIdx.z * 4;
  const uint4 *from = (const uint4 *)job[0] + (u64)blockIdx.y * job[2] * eighths;
  uint4 *to = (uint4 *)job[1] + (u64)blockIdx.y * capacity * eighths;
  u64 filled = job[3] * eighths, all = (u64)used * eighths;
  for (u64 at = (u64)blockIdx.x * blockDim.x + threadIdx.x; at < all; at += (u64)gridDim.x * blockDim.x)
    to[at] = at < filled ? from[at] : make_uint4(0, 0, 0, 0);
}

// The logarithm of the sum of the exponentials of each row of `eighths` times 8 values; a block per row.
extern "C" __global__ void log_sum_exp(const u16 *x, float *out, u32 eighths) {
  __shared__ float shared[33];
  const u16 *row = x + (u64)blockIdx.x * eighths * 8;
  float top = __uint_as_float(0xff800000u), sum = 0.f;
  for (u32 at = threadIdx.x; at < eighths; at += blockDim.x) {
    Eight a = load(row + at * 8);
    float most = top;
    for (int i = 0; i < 8; ++i) most = fmaxf(most, a.v[i]);
    if (most > top) {
      sum *= __expf(top - most);
      top = most;
    }
    // What is no number makes the sum none.
    for (int i = 0; i < 8; ++i) sum += __expf(a.v[i] - top);
  }
  float all = top;
  for (int step = 16; step > 0; step >>= 1) all = fmaxf(all, __shfl_xor_sync(FULL, all, step));
  if ((threadIdx.x & 31) == 0) shared[threadIdx.x >> 5] = all;
  __syncthreads();
  for (u32 warp = 0; warp < (blockDim.x >> 5); ++warp) all = fmaxf(all, shared[warp]);
  sum = sum_of_block(sum > 0.f ? sum * __expf(top - all) : sum, shared);
  if (threadIdx.x == 0) out[blockIdx.x] = all + logf(sum);
}
