"""raw data -> npz"""
import hashlib,collections,urllib.parse,re,sys,os,time
import numpy as np
D='/tmp/rabbit-scratch/wikispeedia_paths-and-graph/'
T='/tmp/rabbit-scratch/plaintext_articles/'
rd=lambda f:[l.rstrip('\n').split('\t') for l in open(D+f,encoding='utf8') if l.strip() and not l.startswith('#')]
arts=[r[0] for r in rd('articles.tsv')]
dec=[urllib.parse.unquote(a).replace('_',' ') for a in arts]
def text(a):
    p=T+a+'.txt'
    if not os.path.exists(p): return ''
    return open(p,encoding='utf8',errors='replace').read()
def body(t):
    # drop header: everything to 'Related subjects' line
    m=re.search(r'2007 Schools Wikipedia Selection[^\n]*(\n(?!\n)[^\n]*)*',t)
    return t[m.end():] if m else t
def lead(t):
    b=body(t)
    for p in re.split(r'\n\s*\n',b):
        ls=p.split('\n')
        q=' '.join(l.strip() for l in ls).strip()
        if len(q)>150 and q[-1] in '.:")' and '. ' in q+' ' and not q.startswith(('*','+','Retrieved')) and ('  ' not in q) and all(re.match(r'   \S',l) or not l.strip() for l in ls):
            if re.search(r'\b(is|was|are|were|refers|has|means|in)\b',q): return q
    return ' '.join(b.split())[:400]
if __name__=='__main__':
    texts=[text(a) for a in arts]
    leads=[lead(t) for t in texts]
    import random
    random.seed(1)
    for i in random.sample(range(len(arts)),12): print(dec[i],'|',leads[i][:150])
    from kgrl.encoder import Encoder
    import torch; torch.set_num_threads(2)
    t0=time.time()
    emb=Encoder(max_tokens=64).encode([d+'. '+l for d,l in zip(dec,leads)])
    np.save('/tmp/rabbit-scratch/emb.npy',emb); print('enc',time.time()-t0)
    emb=Encoder(max_tokens=64).encode(dec)
    np.save('/tmp/rabbit-scratch/emb_title.npy',emb); print('enc',time.time()-t0)
