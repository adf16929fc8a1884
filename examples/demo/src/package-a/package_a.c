#include "package_a.h"
#include <stdio.h>

void package_a(char *text, unsigned long size)
{
    snprintf(text, size, "a");
}
