// Pixels resampled and normalized to the very bits that torch and Pillow give: see resampling.py, which builds it.
//
// torch resamples bilinearly with weights of 16 bits, Pillow bicubically with weights of 22. Pairs of pixels are
// multiplied by pairs of weights of 16 bits; weights of 22 bits are taken apart into a lower and a higher part.
#ifndef __AVX2__
#error "this processor has no AVX2"
#endif
#include <cmath>
#include <cstdint>
#include <cstring>
#include <immintrin.h>
#include <vector>

namespace {
const int PART = 12;  // bits of a weight's lower part, where it does not fit 16

// How one side is resampled: for each pixel that comes out, the first one that counts, how many do, and their weights
// in pairs of 16 bits, for multiplication in pairs; in two parts where they have 22 bits.
struct Side {
  int64_t size = 0, most = 0;  // most: an even number
  int shift = 0;
  bool split = false;
  std::vector<int32_t> first, count, low, high;
};

double bilinear(double x) { x = std::fabs(x); return x < 1 ? 1 - x : 0; }

double bicubic(double x) {
  const double a = -0.5;
  x = std::fabs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

// As Pillow computes them; of 22 bits as there, or of as many as 16 bits have room for, as torch does.
// `pad`: of which the number of pixels becomes a multiple.
void prepare(Side& side, int64_t length, double start, double stop, int64_t size, bool cubic, int64_t pad) {
  const double scale = (stop - start) / size, widened = scale < 1 ? 1 : scale;
  const double support = (cubic ? 2 : 1) * widened, narrow = 1 / widened;
  const int64_t padded = (size + pad - 1) / pad * pad, room = static_cast<int64_t>(std::ceil(support)) * 2 + 1;
  static thread_local std::vector<double> weights;
  weights.assign(size * room, 0.0);
  side.first.assign(padded, 0);
  side.count.assign(padded, 0);
  double top = 0;
  int64_t most = 1;
  for (int64_t i = 0; i < size; i++) {
    const double center = start + (i + 0.5) * scale;
    int64_t from = static_cast<int64_t>(center - support + 0.5), until = static_cast<int64_t>(center + support + 0.5);
    if (from < 0) from = 0;
    if (until > length) until = length;
    const int64_t count = until - from < room ? until - from : room;
    double total = 0, *w = weights.data() + i * room;
    for (int64_t k = 0; k < count; k++) {
      const double x = (k + from - center + 0.5) * narrow;
      w[k] = cubic ? bicubic(x) : bilinear(x);
      total += w[k];
    }
    for (int64_t k = 0; k < count; k++) {
      if (total != 0) w[k] /= total;
      if (w[k] > top) top = w[k];
    }
    side.first[i] = from;
    side.count[i] = count;
    if (count > most) most = count;
  }
  side.size = size;
  side.split = cubic;
  side.shift = 0;
  if (cubic) side.shift = 22;
  else while (side.shift < 22 && static_cast<int>(0.5 + top * (1 << (side.shift + 1))) < (1 << 15)) side.shift++;
  side.most = (most + 3) / 4 * 4;
  side.low.assign(padded * side.most / 2, 0);
  if (cubic) side.high.assign(padded * side.most / 2, 0);
  for (int64_t i = 0; i < size; i++)
    for (int64_t k = 0; k < side.count[i]; k++) {
      const double value = weights[i * room + k] * (1 << side.shift);
      const int32_t weight = static_cast<int32_t>(value < 0 ? value - 0.5 : value + 0.5);
      const int32_t low = cubic ? weight & ((1 << PART) - 1) : weight, at = (i * side.most + k) / 2;
      side.low[at] |= k % 2 ? static_cast<int32_t>(static_cast<uint32_t>(low) << 16) : low & 0xffff;
      if (cubic) {
        const int32_t high = weight >> PART;
        side.high[at] |= k % 2 ? static_cast<int32_t>(static_cast<uint32_t>(high) << 16) : high & 0xffff;
      }
    }
}

inline __m256i times(__m256i pixels, __m256i weights) { return _mm256_madd_epi16(pixels, weights); }
inline __m256i load(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }

// One row of `bytes` from some rows of them; COUNT: how many, if compiled for it.
template <bool SPLIT, int COUNT>
void down_of(const uint8_t* top, int64_t stride, int64_t bytes, const Side& side, int64_t row, uint8_t* out) {
  const int32_t count = COUNT ? COUNT : side.count[row], *low = side.low.data() + row * side.most / 2;
  const int32_t* high = SPLIT ? side.high.data() + row * side.most / 2 : nullptr;
  const __m256i half = _mm256_set1_epi32(1 << (side.shift - 1)), zero = _mm256_setzero_si256();
  const __m128i shift = _mm_cvtsi32_si128(side.shift);
  int64_t at = 0;
  while (bytes >= 32 && at < bytes) {
    if (at + 32 > bytes) at = bytes - 32;
    __m256i sums[4] = {half, half, half, half}, above[4] = {zero, zero, zero, zero};
    for (int32_t k = 0; k < count; k += 2) {
      const uint8_t* from = top + k * stride + at;
      const __m256i one = load(from), two = k + 1 < count ? load(from + stride) : zero;
      const __m256i ends[2] = {_mm256_unpacklo_epi8(one, two), _mm256_unpackhi_epi8(one, two)};
      const __m256i weights = _mm256_set1_epi32(low[k / 2]);
      const __m256i upper = SPLIT ? _mm256_set1_epi32(high[k / 2]) : zero;
      for (int each = 0; each < 4; each++) {
        const __m256i end = ends[each / 2];
        const __m256i pairs = each % 2 ? _mm256_unpackhi_epi8(end, zero) : _mm256_unpacklo_epi8(end, zero);
        sums[each] = _mm256_add_epi32(sums[each], times(pairs, weights));
        if (SPLIT) above[each] = _mm256_add_epi32(above[each], times(pairs, upper));
      }
    }
    for (int each = 0; each < 4; each++) {
      if (SPLIT) sums[each] = _mm256_add_epi32(sums[each], _mm256_slli_epi32(above[each], PART));
      sums[each] = _mm256_sra_epi32(sums[each], shift);
    }
    const __m256i words[2] = {_mm256_packs_epi32(sums[0], sums[1]), _mm256_packs_epi32(sums[2], sums[3])};
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + at), _mm256_packus_epi16(words[0], words[1]));
    at += 32;
  }
  for (; at < bytes; at++) {
    int32_t sum = 1 << (side.shift - 1);
    for (int32_t k = 0; k < count; k++) {
      const int shifted = k % 2 ? 16 : 0, pixel = top[k * stride + at];
      sum += pixel * static_cast<int16_t>(low[k / 2] >> shifted);
      if (SPLIT) sum += pixel * static_cast<int16_t>(high[k / 2] >> shifted) * (1 << PART);
    }
    sum >>= side.shift;
    out[at] = sum < 0 ? 0 : sum > 255 ? 255 : sum;
  }
}

template <bool SPLIT>
void down(const uint8_t* top, int64_t stride, int64_t bytes, const Side& side, int64_t row, uint8_t* out) {
  switch (SPLIT ? 0 : side.count[row]) {
    case 2: return down_of<SPLIT, 2>(top, stride, bytes, side, row, out);
    case 3: return down_of<SPLIT, 3>(top, stride, bytes, side, row, out);
    case 4: return down_of<SPLIT, 4>(top, stride, bytes, side, row, out);
    default: return down_of<SPLIT, 0>(top, stride, bytes, side, row, out);
  }
}

// Weights as `across` takes them: of two pixels beside each other, a pair of weights four times each.
void widen(const std::vector<int32_t>& pairs, int64_t padded, int64_t most, std::vector<int32_t>& wide) {
  wide.resize(padded * most * 2);
  int32_t* to = wide.data();
  for (int64_t x = 0; x < padded; x += 2)
    for (int64_t k = 0; k < most / 2; k++)
      for (int64_t each = 0; each < 8; each++) *to++ = pairs[(x + each / 4) * most / 2 + k];
}

// One row of pixels of three bytes from another one, which may be read, like `out` be written, 16 bytes too far.
template <bool SPLIT, int MOST>
void across_of(const uint8_t* row, const Side& side, const int32_t* low, const int32_t* high, uint8_t* out) {
  const __m256i half = _mm256_set1_epi32(1 << (side.shift - 1)), zero = _mm256_setzero_si256();
  const __m128i shift = _mm_cvtsi32_si128(side.shift);
  const __m256i picks[2] = {  // of four pixels the first two and the next, color by color, in pairs of 16 bits
      _mm256_broadcastsi128_si256(_mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1)),
      _mm256_broadcastsi128_si256(_mm_setr_epi8(6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1))};
  const __m128i together = _mm_setr_epi8(0, 1, 2, 8, 9, 10, 4, 5, 6, 12, 13, 14, -1, -1, -1, -1);
  for (int64_t x = 0; x < side.size; x += 4) {
    __m256i found[2];
    for (int two = 0; two < 2; two++) {
      const int64_t at = x + 2 * two, most = MOST ? MOST : side.most;
      const uint8_t *left = row + 3 * side.first[at], *right = row + 3 * side.first[at + 1];
      __m256i sum = half, above = zero;
      for (int64_t k = 0; k < most; k += 4) {
        const __m128i ends[2] = {_mm_loadu_si128(reinterpret_cast<const __m128i*>(left + 3 * k)),
                                 _mm_loadu_si128(reinterpret_cast<const __m128i*>(right + 3 * k))};
        const __m256i both = _mm256_inserti128_si256(_mm256_castsi128_si256(ends[0]), ends[1], 1);
        for (int pick = 0; pick < 2; pick++) {
          const __m256i pairs = _mm256_shuffle_epi8(both, picks[pick]);
          const int64_t weight = (at / 2 * (most / 2) + k / 2 + pick) * 8;
          sum = _mm256_add_epi32(sum, times(pairs, load(low + weight)));
          if (SPLIT) above = _mm256_add_epi32(above, times(pairs, load(high + weight)));
        }
      }
      if (SPLIT) sum = _mm256_add_epi32(sum, _mm256_slli_epi32(above, PART));
      found[two] = _mm256_sra_epi32(sum, shift);
    }
    const __m256i words = _mm256_packs_epi32(found[0], found[1]);
    const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 3 * x), _mm_shuffle_epi8(bytes, together));
  }
}

template <bool SPLIT>
void across(const uint8_t* row, const Side& side, const int32_t* low, const int32_t* high, uint8_t* out) {
  switch (side.most) {
    case 4: return across_of<SPLIT, 4>(row, side, low, high, out);
    case 8: return across_of<SPLIT, 8>(row, side, low, high, out);
    default: return across_of<SPLIT, 0>(row, side, low, high, out);
  }
}
}  // namespace

// Pixels [top, bottom) x [left, right) of an image of (height, width, 3) as `size` x `size` of them.
extern "C" void elr_resample(
    const uint8_t* image, int64_t stride, int64_t height, int64_t width, double top, double bottom, double left,
    double right, int64_t size, int32_t cubic, uint8_t* out) {
  static thread_local Side rows, columns;
  static thread_local std::vector<int32_t> low, high;
  static thread_local std::vector<uint8_t> room, line;
  prepare(rows, height, top, bottom, size, cubic, 1);
  prepare(columns, width, left, right, size, cubic, 4);
  widen(columns.low, columns.first.size(), columns.most, low);
  if (cubic) widen(columns.high, columns.first.size(), columns.most, high);
  const int64_t bytes = size * 3, slack = 3 * columns.most + 64;
  line.resize(bytes + slack);
  if (cubic) {  // the width first, as Pillow does
    const int64_t first = rows.first[0], end = rows.first[size - 1] + rows.count[size - 1];
    room.resize((end - first) * bytes + slack);
    line.resize(width * 3 + slack);
    for (int64_t y = first; y < end; y++) {
      const uint8_t* row = image + y * stride;
      if ((height - 1 - y) * stride < slack) {  // nothing may be read behind the image
        std::memcpy(line.data(), row, width * 3);
        row = line.data();
      }
      across<true>(row, columns, low.data(), high.data(), room.data() + (y - first) * bytes);
    }
    for (int64_t y = 0; y < size; y++)
      down<true>(room.data() + (rows.first[y] - first) * bytes, bytes, bytes, rows, y, out + y * bytes);
    return;
  }
  room.resize(width * 3 + slack);
  for (int64_t y = 0; y < size; y++) {
    down<false>(image + rows.first[y] * stride, stride, width * 3, rows, y, room.data());
    across<false>(room.data(), columns, low.data(), nullptr, line.data());
    std::memcpy(out + y * bytes, line.data(), bytes);
  }
}

// (x - mean) * scale of images of (height, width, 3), some of which are mirrored; mean and scale are those of a row.
extern "C" void elr_normalize(
    const uint8_t* images, int64_t count, int64_t height, int64_t width, const uint8_t* mirrored, const float* mean,
    const float* scale, float* out) {
  const int64_t row = width * 3;
  const __m128i back = _mm_setr_epi8(12, 13, 14, 9, 10, 11, 6, 7, 8, 3, 4, 5, 0, 1, 2, 15);
  static thread_local std::vector<uint8_t> room;
  room.resize(row + 16);
  for (int64_t y = 0; y < count * height; y++) {
    const uint8_t* from = images + y * row;
    float* to = out + y * row;
    if (mirrored[y / height]) {
      int64_t x = 0;
      for (; x + 6 <= width; x += 5) {  // five pixels at once, and a byte that is not theirs
        const __m128i five = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + 3 * (width - 5 - x) - 1));
        const __m128i turned = _mm_shuffle_epi8(_mm_srli_si128(five, 1), back);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(room.data() + 3 * x), turned);
      }
      for (; x < width; x++) std::memcpy(room.data() + 3 * x, from + 3 * (width - 1 - x), 3);
      from = room.data();
    }
    int64_t at = 0;
    for (; at + 8 <= row; at += 8) {
      const __m128i eight = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from + at));
      const __m256 levels = _mm256_sub_ps(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(eight)), _mm256_loadu_ps(mean + at));
      _mm256_storeu_ps(to + at, _mm256_mul_ps(levels, _mm256_loadu_ps(scale + at)));
    }
    for (; at < row; at++) to[at] = (from[at] - mean[at]) * scale[at];
  }
}
