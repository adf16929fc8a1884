#include "package_d.h"
#include <package_b.h>
#include <package_c.h>
#include <stdio.h>

void package_d(char *text, unsigned long size)
{
    char b[128], c[64];
    package_b(b, sizeof b);
    package_c(c, sizeof c);
    snprintf(text, size, "d on %s and %s", b, c);
}
