#include "package_c.h"
#include <stdio.h>

void package_c(char *text, unsigned long size)
{
    snprintf(text, size, "c");
}
