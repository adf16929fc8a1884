#include "package_a.h"
#include <stdio.h>

int main(void)
{
    char text[256];
    package_a(text, sizeof text);
    puts(text);
    return 0;
}
