"""Words of wikis in many languages: redirects, disambiguation, namespaces, and the prefixes of languages.

A dump names its own namespaces, but not the words that redirect or the templates of disambiguation pages. These are
known for the larger wikis; all are compared as whole names, without regard to case.
"""

from __future__ import annotations

__all__ = [
    "CATEGORY_NAMES",
    "DISAMBIGUATION_CATEGORIES",
    "DISAMBIGUATION_SWITCHES",
    "DISAMBIGUATION_TEMPLATES",
    "FILE_NAMES",
    "LANGUAGE_PREFIXES",
    "REDIRECT_WORDS",
    "SWITCHES",
    "VARIANTS",
]

REDIRECT_WORDS = {
    "ace": "pupinah",
    "af": "aanstuur",
    "an": "endrecera reendrecera",
    "ar": "تحويل",
    "arc": "ܨܘܝܒܐ",
    "az": "İSTİQAMƏTLƏNDİRMƏ İSTİQAMƏTLƏNDİR",
    "be": "перанакіраваньне",
    "bg": "пренасочване виж",
    "bn": "পুনর্নির্দেশ পুনঃনির্দেশ পুনঃর্নির্দেশ পুননির্দেশ",
    "br": "adkas",
    "ca": "redirecció redireccio",
    "ckb": "ڕەوانەکەر",
    "cs": "přesměruj",
    "cu": "прѣнаправлєниѥ",
    "cy": "ail-cyfeirio ailgyfeirio",
    "de": "weiterleitung",
    "diq": "hetenayiş",
    "el": "ανακατευθυνση",
    "en": "redirect",
    "eo": "alidirektu alidirekti al",
    "es": "redirección redireccion",
    "et": "suuna",
    "eu": "birzuzendu",
    "fa": "تغییر_مسیر تغییرمسیر",
    "fi": "ohjaus uudelleenohjaus",
    "fr": "redirection",
    "frp": "redirèccion",
    "ga": "athsheoladh",
    "gag": "YÖNNENDİRMÄKLER YÖNNENDİR YÖNNENDİRMÄ",
    "haw": "kiahou",
    "he": "הפניה",
    "hi": "पुनर्प्रेषित अनुप्रेषित",
    "hr": "preusmjeri",
    "hu": "átirányítás",
    "hy": "վերահղում",
    "hyw": "վերայղում",
    "id": "alih",
    "ig": "kúfù",
    "inh": "ластар",
    "is": "tilvísun",
    "it": "rinvia rinvio rimando",
    "ja": "転送 リダイレクト",
    "ka": "გადამისამართება",
    "kk": "айдау",
    "kk-arab": "ايداۋ",
    "kk-latn": "aýdaw",
    "km": "បញ្ជូនបន្ត ប្ដូរទីតាំងទៅ ប្តូរទីតាំងទៅ ប្ដូរទីតាំង ប្តូរទីតាំង ប្ដូរចំណងជើង",
    "ko": "넘겨주기",
    "krc": "джибериу редирект",
    "ksh": "ömleide_op ömleide leidt_öm_op ömleidung",
    "ku-latn": "beralîkirin",
    "kw": "daskedyans",
    "lad": "dirijar dirección",
    "lb": "viruleedung",
    "lt": "peradresavimas",
    "mg": "fihodinana",
    "min": "aliah",
    "mk": "пренасочување види",
    "ml": "തിരിച്ചുവിടുക തിരിച്ചുവിടൽ",
    "mn": "чиглүүлэг",
    "mr": "पुनर्निर्देशन पुर्ननिर्देशन",
    "ms": "lencong",
    "mt": "rindirizza",
    "mwl": "ancaminar",
    "mzn": "بور",
    "nds": "wiederleiden",
    "nds-nl": "deurverwiezing duurverwiezing",
    "nl": "doorverwijzing",
    "no": "omdirigering omdiriger",
    "or": "ଲେଉଟାଣି",
    "os": "æрвитæн æрвыст рарвыст",
    "pa": "ਰੀਡਿਰੈਕਟ",
    "pl": "patrz przekieruj tam",
    "pnb": "مڑجوڑ",
    "pt": "redirecionamento",
    "qu": "pusapuna",
    "rm": "renviament",
    "ro": "redirecteaza",
    "ru": "перенаправление перенапр",
    "sa": "पुनर्निर्दिष्टम् अनुप्रेषितम् पुनर्निदेशन",
    "sah": "утаарыы утр",
    "sd": "چوريو",
    "se": "stivren ođđasitstivren",
    "si": "යළියොමුව",
    "sk": "presmeruj",
    "sl": "preusmeritev",
    "sq": "ridrejto",
    "sr": "преусмери preusmeri",
    "sr-ec": "преусмјери",
    "srn": "stir",
    "sv": "omdirigering",
    "ta": "வழிமாற்று",
    "te": "దారిమార్పు",
    "tg-cyrl": "равона",
    "th": "เปลี่ยนทาง",
    "tly": "TOJƏDƏN_İSTİĞOMƏT_DOY",
    "tr": "YÖNLENDİRME YÖNLENDİR",
    "tt-cyrl": "юнәлтү",
    "tt-latn": "yünältü",
    "tyv": "көжүрүлге шигледир",
    "uk": "перенаправлення перенапр",
    "ur": "رجوع_مکرر",
    "uz": "yoʻnaltirish yonaltirish",
    "vec": "varda",
    "vi": "đổi",
    "vro": "saadaq",
    "yi": "ווייטערפירן",
    "zh": "重定向 重新導向",
}
"""Words after the number sign of a redirect, by language, separated by spaces; those of MediaWiki's message files.
English is understood everywhere."""

DISAMBIGUATION_TEMPLATES = {
    "ar": "توضيح|صفحة توضيح",
    "be": "неадназначнасць",
    "bg": "пояснение",
    "ca": "desambiguació|desambigua",
    "cs": "rozcestník|rozcestník - příjmení",
    "da": "flertydig",
    "de": "begriffsklärung",
    "el": "αποσαφήνιση",
    "en": "disambiguation|disambig|disamb|dab|dabpage|disam|dis page|disambiguation page|disambiguation cleanup|"
    "disambig-cleanup|disambig cleanup|dab cleanup|hndis|hndis-cleanup|hndab|human name disambiguation|"
    "human name disambiguation cleanup|geodis|geo-dis|geodab|place name disambiguation|airport disambiguation|"
    "airportdis|"
    "biology disambiguation|call sign disambiguation|callsigndis|caselaw disambiguation|chinese title disambiguation|"
    "church disambiguation|county disambiguation|fish-dab|genus disambiguation|hospital disambiguation|"
    "hospitaldis|letter disambiguation|letterdisambig|letter-number combination disambiguation|"
    "letter-numbercombdisambig|mathematical disambiguation|mathdab|math disambig|military unit disambiguation|"
    "mil-unit-dis|music disambiguation|number disambiguation|numberdis|opus disambiguation|"
    "phonetics disambiguation|place disambiguation|plant common name disambiguation|political party disambiguation|"
    "portal disambiguation|road disambiguation|roaddis|roadis|school disambiguation|schooldis|"
    "species latin name abbreviation disambiguation|species latin name disambiguation|latindab|"
    "station disambiguation|stationdis|synagogue disambiguation|taxonomic authority disambiguation|"
    "taxonomy disambiguation|title disambiguation|wp disambig|wikipedia disambiguation|"
    "surname|given name",
    "eo": "apartigilo",
    "es": "desambiguación|desambiguacion|desambig",
    "et": "täpsustus|täpsustuslehekülg",
    "eu": "argipen",
    "fa": "ابهام‌زدایی|ابهام زدایی",
    "fi": "täsmennyssivu",
    "fr": "homonymie|paronymie|patronyme homonymie|toponymie|homonymie de personnes|homonymie de titre",
    "gl": "homónimos",
    "he": "פירושונים",
    "hi": "बहुविकल्पी|बहुविकल्पी शब्द",
    "hr": "razdvojba",
    "hu": "egyért|egyért-redir",
    "hy": "բազմիմաստ",
    "id": "disambiguasi",
    "it": "disambigua",
    "ja": "曖昧さ回避|aimai|人名の曖昧さ回避|地名の曖昧さ回避|同名の地名",
    "ka": "მრავალმნიშვნელოვანი|არაორაზროვნება",
    "ko": "동음이의|동명이인|동음이의어|동명이인 문서|동음이의 문서",
    "lt": "nuorodinis|disambig",
    "lv": "disambig|nozīmju atdalīšana",
    "nl": "dp|dpintro|doorverwijspagina|dp achternaam|dpachternaam",
    "no": "peker|etternavn|fornavn|tydpresisering",
    "pl": "ujednoznacznienie|strona ujednoznaczniająca",
    "pt": "desambiguação|desambig|desambig-ini|geodesambig|homonímia",
    "ro": "dezambiguizare",
    "ru": "неоднозначность|многозначность|однофамильцы|список однофамильцев|тёзки|disambig",
    "sk": "rozlišovacia stránka",
    "sl": "razločitev",
    "sr": "вишезначна одредница|višeznačna odrednica|вишезначна",
    "sv": "förgrening|gren|efternamn|förnamn|namnförgrening|ortnamn",
    "th": "แก้กำกวม|แก้ความกำกวม",
    "tr": "anlam ayrımı|anlamayrımı",
    "uk": "неоднозначність|disambig|багатозначність",
    "ur": "ضد ابہام",
    "vi": "trang định hướng|định hướng|đổi hướng mục tiêu",
    "zh": "消歧义|消歧義|disambig|消歧义页|消歧義頁|人名消歧义|人名消歧義|地名消歧义|地名消歧義",
}
"""Templates that make a page a disambiguation page, by language, separated by bars. Hatnotes are not among them."""

DISAMBIGUATION_SWITCHES = (
    "DISAMBIG|توضيح|DƏQİQLƏŞDİRMƏ|ROZCESTNÍK|BEGRIFFSKLÄRUNG|DISAMBIGUACIÓN|DISAMBIGUACION|TÄPSUSTUS|ابهام‌زدایی|"
    "HOMONYMIE|HOMÓNIMOS|HOMONIMOS|דף_פירושונים|פירושונים|बहुवि|曖昧さ回避|동음이의|ПОЈАСНУВАЊЕ|വിവക്ഷിതം|വിവക്ഷ|"
    "निःसंदिग्ध|PEKER|FLEIRTYDING|ДИСАМБИГ|ضد_ابہام|ĐỊNH_HƯỚNG|ĐỊNHHƯỚNG|消歧义|消除歧义"
)
"""Words of the Disambiguator extension that mark a page, in all languages that have one."""

SWITCHES = (
    "notoc|nogallery|forcetoc|toc|noeditsection|notitleconvert|notc|nocontentconvert|nocc|newsectionlink|"
    "nonewsectionlink|hiddencat|expectunusedcategory|expectunusedtemplate|index|noindex|staticredirect|noglobal"
)
"""Words that change how a page behaves, which may be written in small letters."""

VARIANTS = {
    "ban": "ban ban-bali ban-x-dharma",
    "crh": "crh crh-latn crh-cyrl",
    "gan": "gan gan-hans gan-hant",
    "iu": "iu ike-cans ike-latn",
    "ike": "iu ike-cans ike-latn",
    "kk": "kk kk-cyrl kk-latn kk-arab kk-kz",
    "ku": "ku ku-latn ku-arab",
    "sh": "sh sh-latn sh-cyrl",
    "shi": "shi shi-tfng shi-latn",
    "sr": "sr sr-ec sr-el sr-cyrl sr-latn",
    "tg": "tg tg-latn",
    "tly": "tly tly-cyrl",
    "uz": "uz uz-latn uz-cyrl",
    "wuu": "wuu wuu-hans wuu-hant",
    "zh": "zh zh-hans zh-cn zh-sg zh-my zh-hant zh-tw zh-hk zh-mo",
}
"""Variants of languages that wikis write in several ways, in the order in which a wiki shows one."""

DISAMBIGUATION_CATEGORIES = {
    "ar": "صفحات توضيح",
    "ca": "pàgines de desambiguació",
    "cs": "rozcestníky",
    "da": "flertydige titler",
    "de": "begriffsklärung",
    "el": "αποσαφήνιση",
    "en": "disambiguation pages|all disambiguation pages|all article disambiguation pages|disambiguation|"
    "human name disambiguation pages|place name disambiguation pages",
    "eo": "apartigiloj",
    "es": "wikipedia:desambiguación|desambiguación",
    "fa": "صفحه‌های ابهام‌زدایی",
    "fi": "täsmennyssivut",
    "fr": "homonymie|page d'homonymie",
    "he": "פירושונים",
    "hi": "बहुविकल्पी शब्द",
    "hu": "egyértelműsítő lapok",
    "id": "disambiguasi",
    "it": "pagine di disambiguazione",
    "ja": "曖昧さ回避",
    "ko": "동음이의어 문서",
    "nl": "wikipedia:doorverwijspagina",
    "no": "pekere",
    "pl": "strony ujednoznaczniające",
    "pt": "desambiguação",
    "ro": "dezambiguizare",
    "ru": "страницы значений|страницы значений по алфавиту",
    "sv": "förgreningssidor",
    "th": "แก้ความกำกวม",
    "tr": "anlam ayrımı sayfaları",
    "uk": "сторінки зі списками однойменних статей",
    "vi": "trang định hướng",
    "zh": "消歧义页|消歧義頁|全部消歧义页面",
}
"""Categories of disambiguation pages, by language, separated by bars."""

CATEGORY_NAMES = (
    "category|catégorie|categoría|kategorie|categoria|категория|categorie|kategoria|kategori|категорія|分类|分類|분류|تصنيف|"
    "קטגוריה|kategória|luokka|kategorija|κατηγορία|رده|श्रेणी|หมวดหมู่|thể loại|カテゴリ|категорија|kategooria|kategorio"
)
"""Names of the namespace of categories where a wiki does not say its own, separated by bars."""

FILE_NAMES = (
    "file|image|fichier|archivo|imagen|datei|bild|файл|изображение|bestand|afbeelding|plik|grafika|fil|dosya|resim|"
    "зображення|文件|檔案|图像|圖像|파일|그림|ملف|صورة|קובץ|תמונה|fájl|kép|tiedosto|kuva|ficheiro|imagem|immagine|"
    "ファイル|画像|αρχείο|پرونده|चित्र|ไฟล์|ภาพ|tập tin|hình|soubor|slika|датотека|слика|fitxer|imatge|dosiero|fișier"
)
"""Names of the namespace of files where a wiki does not say its own, separated by bars."""

_PREFIXES = """
aa ab ace ady af ak als alt am ami an ang ann anp ar arc ary arz as ast atj av avk awa ay az azb ba ban bar bat-smg
bbc bcl bdr be be-tarask be-x-old bew bg bh bi bjn blk bm bn bo bpy br bs btm bug bxr ca cbk-zam cdo ce ceb ch cho
chr chy ckb co cr crh cs csb cu cv cy cz da dag de dga din diq dk dsb dtp dty dv dz ee egl el eml en eo epo es et eu
ext fa fat ff fi fiu-vro fj fo fon fr frp frr fur fy ga gag gan gcr gd gl glk gn gom gor got gpe gsw gu guc gur guw
gv ha hak haw he hi hif ho hr hsb ht hu hy hyw hz ia iba id ie ig igl ii ik ilo inh io is it iu ja jam jbo jp jv ka
kaa kab kbd kbp kcg kg kge ki kj kk kl km kn knc ko koi kr krc ks ksh ku kus kv kw ky la lad lb lbe lez lfn lg li
lij lld lmo ln lo lrc lt ltg lv lzh mad mai map-bms mdf mg mh mhr mi min minnan mk ml mn mni mnw mo mos mr mrj ms mt
mus mwl my myv mzn na nah nan nap nb nds nds-nl ne new ng nia nl nn no nov nqo nr nrm nso nup nv ny oc olo om or os
pa pag pam pap pcd pcm pdc pfl pi pih pl pms pnb pnt ps pt pwn qu rm rmy rn ro roa-rup roa-tara rsk ru rue rup rw sa
sah sat sc scn sco sd se sg sgs sh shi shn simple sk skr sl sm smn sn so sq sr srn ss st stq su sv sw syl szl szy ta
tay tcy tdd te tet tg th ti tig tk tl tly tn to tpi tr trv ts tt tum tw ty tyv udm ug uk ur uz ve vec vep vi vls vo
vro wa war wo wuu xal xh xmf yi yo yue za zea zgh zh zh-cfr zh-classical zh-cn zh-min-nan zh-tw zh-yue zu
"""

LANGUAGE_PREFIXES = frozenset(_PREFIXES.split())
"""Prefixes of links to another language's wiki."""
