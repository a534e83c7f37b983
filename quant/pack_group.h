/* Packing inside: one row on its way into a group.  For pack_group.c and pack_expand.c. */
#ifndef NIB_PACK_GROUP_H
#define NIB_PACK_GROUP_H

#include "pack.h"

struct nib_group_row {
    const struct nib_pack_info *info;
    struct nib_planes planes;
    uint8_t *dst; /* the group */
    int row;      /* 0..15 */
};

uint16_t nib_read_u16(const uint8_t *p);

/* The codes of one block of 32 columns, into all planes that the packing has. */
void nib_put_codes(const struct nib_group_row *g, size_t block, const uint8_t codes[NIB_BLOCK]);
void nib_put_scale(const struct nib_group_row *g, size_t i, uint8_t scale);

/* Types that are expanded to 8-bit codes: one block of 256 columns at `src`. */
void nib_expand_tq1_0(const struct nib_group_row *g, const uint8_t *src, size_t super);
void nib_expand_tq2_0(const struct nib_group_row *g, const uint8_t *src, size_t super);
void nib_expand_iq1_s(const struct nib_group_row *g, const uint8_t *src, size_t super);
void nib_expand_iq1_m(const struct nib_group_row *g, const uint8_t *src, size_t super);
void nib_expand_iq2_xxs(const struct nib_group_row *g, const uint8_t *src, size_t super);
void nib_expand_iq2_xs(const struct nib_group_row *g, const uint8_t *src, size_t super);
void nib_expand_iq2_s(const struct nib_group_row *g, const uint8_t *src, size_t super);
void nib_expand_iq3_xxs(const struct nib_group_row *g, const uint8_t *src, size_t super);
void nib_expand_iq3_s(const struct nib_group_row *g, const uint8_t *src, size_t super);

#endif
