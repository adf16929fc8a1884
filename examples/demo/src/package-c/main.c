#include "package_c.h"
#include <stdio.h>

int main(void)
{
    char text[256];
    package_c(text, sizeof text);
    puts(text);
    return 0;
}
