// Files that are programs, or containers that bring programs, by their bytes, by their name, or by an archive's list.

import "math"

rule program_bytes
{
    meta:
        id = "HY-0301"
        version = "1"
        title_en = "Program as a file"
        title_ar = "برنامج تنفيذي مرسل ملفًا"
        disposition = "hold"
        threat = "executable"
    strings:
        $dos = "This program cannot be run in DOS mode"
        $dos2 = "This program must be run under Win32"
    condition:
        part != "header" and
        ((uint16be(0) == 0x4D5A and filesize > 60 and
          (uint32be(uint32(0x3C)) == 0x50450000 or $dos in (0..1024) or $dos2 in (0..1024))) or
         (uint32be(0) == 0x7F454C46 and (uint8(4) == 1 or uint8(4) == 2)) or
         ((uint32be(0) == 0xCFFAEDFE or uint32be(0) == 0xCEFAEDFE or uint32be(0) == 0xFEEDFACF) and filesize > 28) or
         (uint32be(0) == 0x64657809) or (uint32be(0) == 0x0061736D))
}

rule program_name
{
    meta:
        id = "HY-0302"
        version = "1"
        title_en = "File with a program's name"
        title_ar = "ملف يحمل اسم برنامج تنفيذي"
        disposition = "hold"
        threat = "executable"
    condition:
        extension matches /^(exe|scr|com|pif|cpl|msi|msp|mst|dll|ocx|sys|drv|xll|wll|jar|apk|appx|appxbundle|msix|msixbundle|appinstaller|deb|rpm|pkg|gadget|application|appref-ms|ade|adp|mde|accde)$/i
        and filesize > 0
}

rule script_name
{
    meta:
        id = "HY-0303"
        version = "1"
        title_en = "File with a script's name"
        title_ar = "ملف يحمل اسم نص تنفيذي"
        disposition = "hold"
        threat = "executable"
    condition:
        part != "body" and filesize > 0 and
        extension matches /^(js|jse|vbs|vbe|wsf|wsh|wsc|sct|hta|ps1|ps1xml|psm1|psc1|bat|cmd|cdxml|shb|shs|scf|inf|reg|settingcontent-ms|library-ms|searchconnector-ms|msc|diagcab|theme|themepack|rdp|ica|iqy|oqy|rqy|slk|xsl|xbap|mht|command|desktop)$/i
        and not (extension matches /^(slk|mht|xsl|inf|theme)$/i and depth > 0)
}

rule shortcut
{
    meta:
        id = "HY-0304"
        version = "1"
        title_en = "Shortcut file"
        title_ar = "ملف اختصار"
        disposition = "hold"
        threat = "executable"
    strings:
        $link = { 4C 00 00 00 01 14 02 00 00 00 00 00 C0 00 00 00 00 00 00 46 }
        $url = "[InternetShortcut]" nocase
        $local = /^URL\s?=\s?(file:|\\\\|ms-[a-z]+:|search-ms:)/ nocase
        $local2 = /\n(URL|IconFile|WorkingDirectory)\s?=\s?(file:|\\\\|ms-[a-z]+:|search-ms:)/ nocase
    condition:
        $link at 0 or extension == "lnk" or ($url in (0..64) and ($local or $local2))
}

rule disk_image
{
    meta:
        id = "HY-0305"
        version = "1"
        title_en = "Disk image as a file"
        title_ar = "صورة قرص مرسلة ملفًا"
        disposition = "hold"
        threat = "smuggling"
    strings:
        $iso = "CD001"
        $udf = "BEA01"
        $vhdx = "vhdxfile"
        $vhd = "conectix"
        $dmg = "koly"
    condition:
        $iso at 0x8001 or $udf at 0x8001 or ($vhdx at 0 and filesize > 64KB) or ($vhd at 0 and filesize > 512) or
        (filesize > 512 and ($vhd at (filesize - 512) or $dmg at (filesize - 512))) or
        (extension matches /^(iso|img|vhd|vhdx|udf|dmg|wim|toast|nrg)$/i and filesize > 0)
}

rule onenote_program
{
    meta:
        id = "HY-0306"
        version = "1"
        title_en = "OneNote notebook with an embedded program or script"
        title_ar = "دفتر OneNote فيه برنامج أو نص تنفيذي مضمّن"
        disposition = "hold"
        threat = "executable"
    strings:
        $stored = { E7 16 E3 BD 65 26 11 45 A4 C4 8D 4D 0B 7A 9E AC }
        $name = /([^\x00]\x00){1,80}\.\x00(h\x00t\x00a|j\x00s|j\x00s\x00e|v\x00b\x00s|v\x00b\x00e|w\x00s\x00f|c\x00m\x00d|b\x00a\x00t|p\x00s\x001|e\x00x\x00e|s\x00c\x00r|l\x00n\x00k|c\x00h\x00m|m\x00s\x00i)\x00(\x00|[^a-z])/ nocase
        $script1 = "<script" nocase
        $script2 = "wscript." nocase
        $script3 = "powershell" nocase
        $script4 = "@echo off" nocase
        $program = "This program cannot be run in DOS mode"
        $link = { 4C 00 00 00 01 14 02 00 00 00 00 00 C0 00 00 00 00 00 00 46 }
    condition:
        uint32be(0) == 0xE4525C7B and uint32be(4) == 0x8CD8A74D and
        $stored and ($name or any of ($script*) or $program or $link)
}

rule onenote_embedded
{
    meta:
        id = "HY-0307"
        version = "1"
        title_en = "OneNote notebook with an embedded file"
        title_ar = "دفتر OneNote فيه ملف مضمّن"
        disposition = "tag"
        threat = "disguise"
    strings:
        $stored = { E7 16 E3 BD 65 26 11 45 A4 C4 8D 4D 0B 7A 9E AC }
    condition:
        uint32be(0) == 0xE4525C7B and uint32be(4) == 0x8CD8A74D and $stored
}

rule help_file
{
    meta:
        id = "HY-0308"
        version = "1"
        title_en = "Compiled help file"
        title_ar = "ملف مساعدة مُصرَّف (CHM)"
        disposition = "hold"
        threat = "executable"
    condition:
        (uint32be(0) == 0x49545346 and uint32(4) <= 4) or extension == "chm" or extension == "hlp"
}

rule installer_bytes
{
    meta:
        id = "HY-0309"
        version = "1"
        title_en = "Installer package"
        title_ar = "حزمة تثبيت برنامج"
        disposition = "hold"
        threat = "executable"
    strings:
        // class of Windows Installer's root storage
        $class = { 84 10 0C 00 00 00 00 00 C0 00 00 00 00 00 00 46 }
        $patch = { 86 10 0C 00 00 00 00 00 C0 00 00 00 00 00 00 46 }
    condition:
        uint32be(0) == 0xD0CF11E0 and ($class or $patch)
}

rule archive_lists_program
{
    meta:
        id = "HY-0310"
        version = "1"
        title_en = "Archive that lists a program, a script or a disk image"
        title_ar = "أرشيف يضم برنامجًا أو نصًا تنفيذيًا أو صورة قرص"
        disposition = "hold"
        threat = "executable"
    strings:
        $entry = { 50 4B 01 02 }
    condition:
        // the last four characters of each name in the central directory (APPNOTE 4.3.12), in lower case
        for any i in (1 .. math.min(#entry, 1000)) : (
            for any four in (0x2E657865, 0x2E736372, 0x2E636F6D, 0x2E706966, 0x2E63706C, 0x2E6D7369, 0x2E646C6C,
                             0x2E6A7365, 0x2E766273, 0x2E766265, 0x2E777366, 0x2E777368, 0x2E687461, 0x2E707331,
                             0x2E626174, 0x2E636D64, 0x2E6C6E6B, 0x2E69736F, 0x2E696D67, 0x2E766864, 0x2E63686D,
                             0x2E786C6C) : (
                (uint32be(@entry[i] + 42 + uint16(@entry[i] + 28)) | 0x20202020) == four
            )
        )
}

rule archive_only_script
{
    meta:
        id = "HY-0311"
        version = "1"
        title_en = "Small archive around a JavaScript file"
        title_ar = "أرشيف صغير لا يضم سوى ملف جافاسكربت"
        disposition = "hold"
        threat = "executable"
    strings:
        $entry = { 50 4B 01 02 }
    condition:
        #entry > 0 and #entry < 4 and
        for any i in (1 .. #entry) : ((uint32be(@entry[i] + 42 + uint16(@entry[i] + 28)) & 0x00FFFFFF | 0x00202020) == 0x2E6A73)
}

rule encrypted_zip
{
    meta:
        id = "HY-0312"
        version = "1"
        title_en = "Archive that only a password opens"
        title_ar = "أرشيف لا يُفتح إلا بكلمة مرور"
        disposition = "tag"
        threat = "smuggling"
    strings:
        $entry = { 50 4B 01 02 }
        $rar4 = { 52 61 72 21 1A 07 00 }
        $rar5 = { 52 61 72 21 1A 07 01 00 }
    condition:
        for any i in (1 .. math.min(#entry, 1000)) : ((uint16(@entry[i] + 8) & 1) == 1 and uint16(@entry[i] + 28) > 0) or
        // RAR 4: main header with encrypted headers (0x0080), or the first file header with a password (0x0004)
        ($rar4 at 0 and uint8(9) == 0x73 and
            ((uint16(10) & 0x0080) != 0 or (uint8(7 + uint16(12) + 2) == 0x74 and (uint16(7 + uint16(12) + 3) & 4) != 0))) or
        // RAR 5: the first header is the encryption header (type 4)
        ($rar5 at 0 and uint8(13) == 4)
}

rule encrypted_zip_lists_program
{
    meta:
        id = "HY-0313"
        version = "1"
        title_en = "Password archive with a program inside"
        title_ar = "أرشيف بكلمة مرور في داخله برنامج"
        disposition = "hold"
        threat = "smuggling"
    strings:
        $entry = { 50 4B 01 02 }
    condition:
        for any i in (1 .. math.min(#entry, 1000)) : (
            (uint16(@entry[i] + 8) & 1) == 1 and
            for any four in (0x2E657865, 0x2E736372, 0x2E636F6D, 0x2E6D7369, 0x2E766273, 0x2E687461, 0x2E707331,
                             0x2E626174, 0x2E636D64, 0x2E6C6E6B, 0x2E69736F, 0x2E696D67) : (
                (uint32be(@entry[i] + 42 + uint16(@entry[i] + 28)) | 0x20202020) == four
            )
        )
}

rule password_beside_archive
{
    meta:
        id = "HY-0314"
        version = "1"
        title_en = "Password in the text, locked file beside it"
        title_ar = "كلمة المرور في النص والملف المقفل إلى جانبه"
        disposition = "hold"
        threat = "smuggling"
    strings:
        $en1 = /\b(password|passcode|pass\s?code|pwd|pin)\b[^\n]{0,40}(:|=|\bis\b|-)\s{0,4}["'(<]?[^\s<]{3,40}/ nocase
        $en2 = /\b(archive|zip|file|document|attachment|rar)\s{1,3}(password|passcode|pwd)\b/ nocase
        $ar1 = "كلمة المرور"
        $ar2 = "كلمة السر"
        $ar3 = "الرقم السري"
        $ar4 = "الرمز السري"
        $ar5 = "رمز فك الضغط"
    condition:
        part == "body" and encrypted_beside > 0 and any of them
}
