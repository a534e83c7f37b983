/* strftime() for strftime_now: the names are English in every locale, and the zone is the caller's.
 */
#include "template_ops.h"

#include <stdio.h>

struct date {
    int64_t year;
    int month, day, hour, minute, second; /* month 0..11, day 1..31 */
    int week_day, year_day;               /* 0 = Sunday, 0 = 1 January */
};

static const char *const months[] = {"January",   "February", "March",    "April",
                                     "May",       "June",     "July",     "August",
                                     "September", "October",  "November", "December"};
static const char *const days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                   "Thursday", "Friday", "Saturday"};

static bool is_leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Days since 1970 to a date of the Gregorian calendar, with years that begin in March. */
static struct date date_of(int64_t time)
{
    int64_t day = time / 86400, second = time % 86400;
    if (second < 0) {
        second += 86400;
        day--;
    }
    const int64_t from_0 = day + 719468; /* days since 0000-03-01 */
    const int64_t era = (from_0 >= 0 ? from_0 : from_0 - 146096) / 146097;
    const int64_t of_era = from_0 - era * 146097;
    const int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    const int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const int64_t month = (5 * of_year + 2) / 153; /* 0 = March */

    struct date date = {
        .year = year_of_era + era * 400 + (month >= 10),
        .month = (int)(month < 10 ? month + 2 : month - 10),
        .day = (int)(of_year - (153 * month + 2) / 5 + 1),
        .hour = (int)(second / 3600),
        .minute = (int)(second / 60 % 60),
        .second = (int)(second % 60),
        .week_day = (int)(((day + 4) % 7 + 7) % 7),
    };
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    date.year_day = before[date.month] + date.day - 1 + (date.month > 1 && is_leap(date.year));
    return date;
}

/* ISO 8601: weeks begin on Monday, the first one holds 4 January. */
static int iso_week(const struct date *d, int64_t *year)
{
    const int monday = (d->week_day + 6) % 7;
    int week = (d->year_day - monday + 10) / 7;
    *year = d->year;
    if (week == 0) {
        const int last_day = d->year_day + (is_leap(d->year - 1) ? 366 : 365);
        --*year;
        week = (last_day - monday + 10) / 7;
    } else if (week == 53 && d->year_day - monday + 3 >= (is_leap(d->year) ? 366 : 365)) {
        ++*year;
        week = 1;
    }
    return week;
}

/* A number in at least `width` digits; flag "-" drops the padding, "_" and "0" set it. */
static void put_number(struct render *r, int64_t n, int width, char pad, char flag)
{
    char text[32];
    if (flag == '-')
        width = 0;
    else if (flag)
        pad = flag == '_' ? ' ' : '0';
    snprintf(text, sizeof text, pad == '0' ? "%0*lld" : "%*lld", width, (long long)n);
    nib_tpl_put_c(r, text);
}

static void put_conversion(struct render *r, const struct date *d, int64_t time, char c, char flag)
{
    int64_t year;
    const int hour = d->hour % 12 ? d->hour % 12 : 12, week = iso_week(d, &year);
    switch (c) {
    case 'Y':
        put_number(r, d->year, 1, '0', flag);
        break;
    case 'C':
        put_number(r, d->year / 100, 2, '0', flag);
        break;
    case 'y':
        put_number(r, d->year % 100, 2, '0', flag);
        break;
    case 'm':
        put_number(r, d->month + 1, 2, '0', flag);
        break;
    case 'd':
        put_number(r, d->day, 2, '0', flag);
        break;
    case 'e':
        put_number(r, d->day, 2, ' ', flag);
        break;
    case 'H':
        put_number(r, d->hour, 2, '0', flag);
        break;
    case 'I':
        put_number(r, hour, 2, '0', flag);
        break;
    case 'k':
        put_number(r, d->hour, 2, ' ', flag);
        break;
    case 'l':
        put_number(r, hour, 2, ' ', flag);
        break;
    case 'M':
        put_number(r, d->minute, 2, '0', flag);
        break;
    case 'S':
        put_number(r, d->second, 2, '0', flag);
        break;
    case 'f':
        nib_tpl_put_c(r, "000000");
        break;
    case 'j':
        put_number(r, d->year_day + 1, 3, '0', flag);
        break;
    case 'U':
        put_number(r, (d->year_day + 7 - d->week_day) / 7, 2, '0', flag);
        break;
    case 'W':
        put_number(r, (d->year_day + 7 - (d->week_day + 6) % 7) / 7, 2, '0', flag);
        break;
    case 'V':
        put_number(r, week, 2, '0', flag);
        break;
    case 'G':
        put_number(r, year, 1, '0', flag);
        break;
    case 'g':
        put_number(r, year % 100, 2, '0', flag);
        break;
    case 'u':
        put_number(r, d->week_day ? d->week_day : 7, 1, '0', flag);
        break;
    case 'w':
        put_number(r, d->week_day, 1, '0', flag);
        break;
    case 's':
        put_number(r, time, 1, '0', flag);
        break;
    case 'B':
        nib_tpl_put_c(r, months[d->month]);
        break;
    case 'b':
    case 'h':
        nib_tpl_put(r, months[d->month], 3);
        break;
    case 'A':
        nib_tpl_put_c(r, days[d->week_day]);
        break;
    case 'a':
        nib_tpl_put(r, days[d->week_day], 3);
        break;
    case 'p':
        nib_tpl_put_c(r, d->hour < 12 ? "AM" : "PM");
        break;
    case 'P':
        nib_tpl_put_c(r, d->hour < 12 ? "am" : "pm");
        break;
    case 'Z': /* the time carries no zone, as datetime.now() does not */
    case 'z':
        break;
    case 'n':
        nib_tpl_put(r, "\n", 1);
        break;
    case 't':
        nib_tpl_put(r, "\t", 1);
        break;
    default:
        nib_tpl_put(r, "%", c == '%' ? 0 : 1);
        nib_tpl_put(r, &c, 1);
    }
}

/* Conversions that stand for several others. */
static const char *expand(char c)
{
    switch (c) {
    case 'F':
        return "%Y-%m-%d";
    case 'T':
    case 'X':
        return "%H:%M:%S";
    case 'R':
        return "%H:%M";
    case 'r':
        return "%I:%M:%S %p";
    case 'D':
    case 'x':
        return "%m/%d/%y";
    case 'c':
        return "%a %b %e %H:%M:%S %Y";
    default:
        return NULL;
    }
}

void nib_tpl_put_time(struct render *r, struct nib_str format, int64_t time)
{
    const struct date date = date_of(time);
    const char *end = format.data + format.len;
    for (const char *p = format.data; p < end && !r->failed; p++) {
        if (*p != '%' || p + 1 == end) {
            nib_tpl_put(r, p, 1);
            continue;
        }
        p++;
        char flag = '\0';
        if ((*p == '-' || *p == '_' || *p == '0') && p + 1 < end)
            flag = *p++;
        const char *more = expand(*p);
        if (more)
            nib_tpl_put_time(r, nib_str_from(more), time);
        else
            put_conversion(r, &date, time, *p, flag);
    }
}
