/*
 * histogram: how often a duration of so many nanoseconds was seen, in a fixed number of buckets.
 *
 * Each power of two has 256 buckets, so a quantile is off by at most 0.4 %; the largest value is kept exactly. Recording
 * allocates nothing and does not depend on how much was recorded before.
 */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_STEP_BITS = 8, HISTOGRAM_BUCKETS = (64 - HISTOGRAM_STEP_BITS + 1) << HISTOGRAM_STEP_BITS };

struct histogram {
    uint64_t count;
    uint64_t max;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

static inline uint32_t histogramBucket(uint64_t value) {
    if (value >> HISTOGRAM_STEP_BITS == 0) return (uint32_t)value;
    uint32_t shift = 63 - HISTOGRAM_STEP_BITS - (uint32_t)__builtin_clzll(value);
    return ((shift + 1) << HISTOGRAM_STEP_BITS) + (uint32_t)(value >> shift) - (1 << HISTOGRAM_STEP_BITS);
}

/* The middle of what a bucket stands for. */
static inline uint64_t histogramValue(uint32_t bucket) {
    if (bucket >> HISTOGRAM_STEP_BITS == 0) return bucket;
    uint32_t shift = (bucket >> HISTOGRAM_STEP_BITS) - 1;
    uint64_t step = (uint64_t)(bucket & ((1 << HISTOGRAM_STEP_BITS) - 1)) + (1 << HISTOGRAM_STEP_BITS);
    return (step << shift) + (((uint64_t)1 << shift) >> 1);
}

static inline void histogramRecord(struct histogram *histogram, uint64_t value) {
    histogram->count++;
    histogram->buckets[histogramBucket(value)]++;
    if (value > histogram->max) histogram->max = value;
}

/* The value that `fraction` of all values do not exceed; 0 when there are none. */
static inline uint64_t histogramQuantile(const struct histogram *histogram, double fraction) {
    uint64_t rank = (uint64_t)(fraction * (double)histogram->count), seen = 0;
    for (uint32_t bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        seen += histogram->buckets[bucket];
        if (seen > rank) {
            uint64_t value = histogramValue(bucket);
            return value < histogram->max ? value : histogram->max;
        }
    }
    return histogram->max;
}

#endif
