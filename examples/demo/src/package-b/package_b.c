#include "package_b.h"
#include <package_a.h>
#include <stdio.h>

void package_b(char *text, unsigned long size)
{
    char a[128];
    package_a(a, sizeof a);
    snprintf(text, size, "b on %s", a);
}
