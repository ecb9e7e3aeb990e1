/* What a program can tell the callgrind that it runs under; outside of it these do nothing. */
#include <valgrind/callgrind.h>

int under_valgrind(void) { return RUNNING_ON_VALGRIND > 0; }

void start_counting(void) { CALLGRIND_START_INSTRUMENTATION; }

void begin_at_zero(void) { CALLGRIND_ZERO_STATS; }

/* Into the next file: NAME.out.1, NAME.out.2 and so on. */
void dump_counts(void) { CALLGRIND_DUMP_STATS; }
