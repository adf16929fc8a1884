#include "package_b.h"
#include <stdio.h>

int main(void)
{
    char text[256];
    package_b(text, sizeof text);
    puts(text);
    return 0;
}
