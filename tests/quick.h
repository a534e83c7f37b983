/* NIB_TEST_QUICK asks for fewer repetitions, as under an emulator, which is 30 to 60 times slower.
 */
#ifndef NIB_TEST_QUICK_H
#define NIB_TEST_QUICK_H

#include <stdbool.h>
#include <stdlib.h>

static inline bool is_quick(void)
{
    const char *const text = getenv("NIB_TEST_QUICK");
    return text && *text;
}

#endif
